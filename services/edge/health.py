"""`/healthz`, `/readyz`, `/metrics`."""

import asyncio

import orjson
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.types import Receive, Scope, Send

from schemas.release import alive
from services.edge import metrics
from services.edge.broker import Broker
from services.edge.control_feed import ControlFeed
from services.edge.database import Database
from services.edge.errors import StoreUnavailableError
from services.edge.key_cache import KeyCache
from services.edge.replies import send_reply

DATABASE_TIMEOUT_S = 2.0


class Health:
    """Says whether the edge runs, and whether it can do its work.

    `silent_s` is how long the control topic may not have been read to its end: as long as events may wait for Kafka before
    nothing is let in.
    """

    def __init__(self, database: Database, broker: Broker, feed: ControlFeed, *, silent_s: float) -> None:
        self._database = database
        self._broker = broker
        self._feed = feed
        self._silent_s = silent_s

    async def healthz(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """200 as soon as the process runs."""
        await send_reply(send, 200, orjson.dumps(alive()))

    async def readyz(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """200 when Postgres answers, Kafka was reached and the control topic is read to its end; else 503 with the reason."""
        reason = await self.reason()
        body = {"ready": reason is None} if reason is None else {"ready": False, "reason": reason}
        await send_reply(send, 200 if reason is None else 503, orjson.dumps(body))

    async def reason(self) -> str | None:
        """Why the edge cannot do its work now, or None."""
        if not self._broker.connected:
            return "Kafka was not reached yet"
        if not self._feed.caught_up:
            return "the control topic was not read to its end yet"
        if self._feed.silent_s > self._silent_s:
            return f"the control topic was not read to its end for {self._feed.silent_s:.0f} s"
        try:
            async with asyncio.timeout(DATABASE_TIMEOUT_S):
                await self._database.row("ping")
        except (StoreUnavailableError, TimeoutError):
            return "Postgres does not answer"
        return None


class MetricsPage:
    """The metrics in Prometheus' text format."""

    def __init__(self, cache: KeyCache) -> None:
        self._cache = cache

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        metrics.CACHED_KEYS.set(len(self._cache))
        await send_reply(send, 200, generate_latest(), [(b"content-type", CONTENT_TYPE_LATEST.encode())])
