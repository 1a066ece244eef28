"""CPU time of holding a call to its requests and tokens per minute: `python -m tests.bench.pacing`. No network but to a Redis.

Each figure is the least of several rounds, in microseconds of this process's CPU: counting a request and its tokens, the
headers, and putting the tokens right. `counters` is how many envelopes are in use; each call lets the event loop turn.
"""

from __future__ import annotations

import asyncio
from time import process_time

import orjson
import uvloop
from limits.aio.storage import MemoryStorage

from services.edge.pace import MinuteLimit, estimate
from services.edge.pace_redis import RedisWindows
from services.edge.pace_windows import MemoryWindows
from services.edge.pacer import Paced, Pacer, Windows
from tests.integration.edge.redis_server import running_redis

ROUNDS, CALLS = 5, 2_000
BODY = orjson.dumps({"model": "m", "messages": [{"role": "user", "content": "hello " * 400}], "max_tokens": 100})
CAPS = ("max_completion_tokens", "max_tokens")
PAYLOAD = orjson.loads(BODY)


class LibraryWindows(MemoryStorage):
    """The library's own memory, for comparison."""

    async def correct(self, key: str, expiry: int, amount: int, counted_at: float) -> None:
        """Give back; more is not asked for here."""
        await self.decr(self.sliding_window_keys(key, expiry, counted_at)[1], -amount)


async def least_us(windows: Windows, counters: int) -> float:
    """CPU microseconds of one call."""
    pacer = Pacer(windows)
    limits = [(MinuteLimit("key", f"k{number}", 10**9, 10**9),) for number in range(counters)]
    found = []
    for _ in range(ROUNDS):
        begun = process_time()
        for number in range(CALLS):
            await _call(pacer, limits[number % counters])
        found.append((process_time() - begun) / CALLS * 1e6)
    return min(found)


async def _call(pacer: Pacer, limits: tuple[MinuteLimit, ...]) -> None:
    paced = Paced()
    await pacer.request(paced, limits)
    await pacer.tokens(paced, limits, estimate(PAYLOAD, BODY, CAPS))
    paced.standings.headers()
    await asyncio.sleep(0)
    await pacer.settle(paced, 150)


async def _measure(redis_url: str) -> None:
    print("CPU us per call of a limited key")
    for counters in (1, 1000):
        print(f"  in memory, {counters} counters: {await least_us(MemoryWindows(), counters):.1f}")
        print(f"  in the library's memory, {counters} counters: {await least_us(LibraryWindows(), counters):.1f}")
    shared = RedisWindows(redis_url)
    print(f"  in Redis: {await least_us(shared, 1):.1f}")
    await shared.close()


def main() -> None:
    """Print the table."""
    with running_redis() as store:
        uvloop.run(_measure(store.url))


if __name__ == "__main__":
    main()
