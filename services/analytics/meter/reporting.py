"""Tells analytics what the meter judges: at once what is new, and every second how it stands, as a sign of life."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import httpx
import orjson
import structlog

from services.analytics import metrics
from services.analytics.alerts.records import VERDICTS
from services.analytics.alerts.verdict import Verdict
from services.analytics.meter.judge import SIGNALS
from services.analytics.meter.watch import Watch

BEAT_S = 1.0
TIMEOUT = httpx.Timeout(5, connect=1)
MOST_AT_ONCE = 1_000
log = structlog.get_logger("analytics.meter")


class Reporter:
    """One call at a time; while analytics is away, what is owed stays owed."""

    def __init__(
        self,
        watch: Watch,
        analytics_url: str,
        service_token: str,
        name: str,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._watch = watch
        self._name = name
        self._news = asyncio.Event()
        self._away = False
        headers = {"authorization": f"Bearer {service_token}", "content-type": "application/json"}
        self._http = httpx.AsyncClient(
            base_url=analytics_url, headers=headers, timeout=TIMEOUT, trust_env=False, transport=transport
        )

    def news(self) -> None:
        """There is something to tell at once."""
        self._news.set()

    async def close(self) -> None:
        """Close the connections to analytics."""
        await self._http.aclose()

    async def beat(self) -> None:
        """Wait for news, a second at most, and tell how things stand."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._news.wait(), BEAT_S)
        self._news.clear()
        verdicts = self._watch.verdicts()
        parts = [verdicts[first : first + MOST_AT_ONCE] for first in range(0, len(verdicts), MOST_AT_ONCE)]
        for part in parts or [[]]:
            if not await self._told(part):
                await asyncio.sleep(BEAT_S)
                return
        if self._away:
            log.info("analytics hears the meter again")
        self._away = False
        metrics.ALERTS_OPEN.set(self._watch.open_count)

    async def _told(self, verdicts: Sequence[Verdict]) -> bool:
        """One call; whether analytics has taken it."""
        told: Mapping[str, Any] = {
            "meter": self._name,
            "sent_at": datetime.fromtimestamp(time.time(), UTC),
            "lag_s": self._watch.lag_s,
            "signals": SIGNALS,
            "verdicts": VERDICTS.dump_python(list(verdicts)),
        }
        try:
            reply = await self._http.post("/internal/verdicts", content=orjson.dumps(told))
            reply.raise_for_status()
            self._watch.heard(verdicts, reply.json()["open"])
        except (httpx.HTTPError, ValueError, KeyError) as error:
            if not self._away:
                log.warning("analytics does not hear the meter", error=type(error).__name__, detail=str(error)[:200])
            self._away = True
            return False
        return True
