"""Judging keys and saying so: one alert from the moment a key exceeds its threshold until it is back."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

import structlog

from schemas import topics
from schemas.alerts import AlertState
from services.analytics.meter.alert_log import open_alerts, read_alerts
from services.analytics.meter.windows import TokenWindows
from services.analytics.publisher import Publisher
from services.analytics.velocity import Subject, Thresholds, alert, alert_id, judge

log = structlog.get_logger("analytics.meter")


class Watch:
    """The open alerts of this meter. An alert is open once its beginning is acknowledged by Kafka."""

    def __init__(self, windows: TokenWindows, thresholds: Thresholds, publisher: Publisher, clock: Callable[[], float]) -> None:
        self._windows = windows
        self._thresholds = thresholds
        self._publisher = publisher
        self._clock = clock
        self._open: dict[str, tuple[Subject, str]] = {}
        # A sample and the clock may judge the same key: one at a time, or the alert would be published twice.
        self._judging = asyncio.Lock()

    async def recall(self, bootstrap_servers: str) -> None:
        """Take over the alerts that are open according to the topic."""
        async with self._judging:
            self._open = open_alerts(await read_alerts(bootstrap_servers))
        log.info("open alerts recalled", count=len(self._open))

    async def judge(self, subject: Subject, second: int) -> None:
        """Judge a key by the sixty seconds that end with `second`; publish if its state changes."""
        async with self._judging:
            observed = self._windows.last_minute(subject.key_id, second)
            firing = self._open.get(subject.key_id)
            verdict = judge(observed, self._thresholds.of(subject.key_id), firing=firing is not None)
            if verdict == "fire":
                name = alert_id(subject, second)
                await self._publish(subject, name, "firing", observed, second)
                self._open[subject.key_id] = (subject, name)
            elif verdict == "resolve" and firing is not None:
                await self._publish(*firing, "resolved", observed, second)
                del self._open[subject.key_id]

    async def judge_open(self) -> None:
        """Judge every key whose alert is open by the last full second: a key that went silent sends no sample."""
        second = int(self._clock()) - 1
        for subject, _ in list(self._open.values()):
            await self.judge(subject, second)

    async def _publish(self, subject: Subject, name: str, state: AlertState, observed: int, second: int) -> None:
        threshold = self._thresholds.of(subject.key_id)
        now = datetime.fromtimestamp(self._clock(), UTC)
        event = alert(subject, name, state, observed_tokens=observed, threshold=threshold, second=second, now=now)
        await self._publisher.publish(topics.ALERTS, [event])
        log.warning("velocity alert", state=state, key_id=subject.key_id, observed_tokens=observed, threshold=threshold)
