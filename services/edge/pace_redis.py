"""Counters of the last minute in Redis, where every edge process counts into the same ones: the `limits` library's storage."""

import time
from typing import cast

from limits.aio.storage import RedisStorage
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

ANSWER_TIMEOUT_S = 1.0
CONNECTION_TIMEOUT_S = 2.0
MAX_CONNECTIONS = 32
PREFIX = "tollbook"
# Windows are turned over as the library does it when it counts: one that is too old becomes the window before. What was counted
# `age` ago belongs to the window that was the present one then; the time to live says when that began.
CORRECT = """
local amount, age, expiry = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]) * 1000
local ttl = redis.call('pttl', KEYS[2])
if ttl > 0 and ttl < expiry then
    redis.call('rename', KEYS[2], KEYS[1])
    redis.call('set', KEYS[2], 0, 'PX', ttl + expiry)
    ttl = ttl + expiry
end
if ttl <= 0 then return end
local begun = 2 * expiry - ttl
local key = nil
if age <= begun then key = KEYS[2] elseif age <= begun + expiry then key = KEYS[1] end
if key and redis.call('exists', key) == 1 then
    redis.call('set', key, math.max(0, tonumber(redis.call('get', key)) + amount), 'KEEPTTL')
end
"""


class RedisWindows(RedisStorage):
    """The library's storage, which can also correct what was counted. Raises `redis.RedisError` where Redis is away."""

    def __init__(self, url: str) -> None:
        # Who finds every connection taken waits for one: a crowd of calls is no reason to take Redis for away.
        self._pool = BlockingConnectionPool.from_url(
            url,
            max_connections=MAX_CONNECTIONS,
            timeout=CONNECTION_TIMEOUT_S,
            socket_timeout=ANSWER_TIMEOUT_S,
            socket_connect_timeout=ANSWER_TIMEOUT_S,
            # A connection that Redis had closed is made anew once; longer waits are not for the way of a request.
            retry=Retry(NoBackoff(), 1),
        )
        super().__init__(f"async+{url}", implementation="redispy", key_prefix=PREFIX, connection_pool=cast(str, self._pool))
        self._correct = Redis(connection_pool=self._pool).register_script(CORRECT)

    async def correct(self, key: str, expiry: int, amount: int, counted_at: float) -> None:
        """Add to what was counted at that instant (of this process' clock), or take from it."""
        age_ms = max(0, int((time.time() - counted_at) * 1000))
        keys = [
            self.bridge.prefixed_key(self._previous_window_key(key)),
            self.bridge.prefixed_key(self._current_window_key(key)),
        ]
        await self._correct(keys=keys, args=[amount, age_ms, expiry])

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.disconnect()
