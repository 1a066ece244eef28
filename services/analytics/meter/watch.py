"""Judging keys and saying so: one alert from the moment a key exceeds its threshold until it is back."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

import structlog

from schemas import topics
from schemas.alerts import AlertState
from services.analytics.meter.alert_log import OpenAlert, open_alerts, read_alerts
from services.analytics.meter.windows import TokenWindows
from services.analytics.publisher import Publisher
from services.analytics.velocity import Subject, Thresholds, alert_event, alert_id, judge

log = structlog.get_logger("analytics.meter")


class Watch:
    """The open alerts of this meter. An alert is open once its beginning is acknowledged by Kafka."""

    def __init__(self, windows: TokenWindows, thresholds: Thresholds, publisher: Publisher, clock: Callable[[], float]) -> None:
        self._windows = windows
        self._thresholds = thresholds
        self._publisher = publisher
        self._clock = clock
        self._open: dict[str, OpenAlert] = {}
        # A sample and the clock may judge the same key: one at a time, or the alert would be published twice.
        self._judging = asyncio.Lock()

    async def recall(self, bootstrap_servers: str) -> None:
        """Take over the alerts that are open according to the topic."""
        async with self._judging:
            self._open = open_alerts(await read_alerts(bootstrap_servers))
        log.info("open alerts recalled", count=len(self._open))

    async def judge_sample(self, subject: Subject, second: int) -> None:
        """Judge a key by the sixty seconds that end with a sample's: it may fire, never resolve.

        Samples of one batch come in no order of their seconds, so an older one must not call off what a newer one began.
        """
        async with self._judging:
            observed = self._windows.last_minute(subject.key_id, second)
            firing = subject.key_id in self._open
            if judge(observed, self._thresholds.of(subject.key_id), firing=firing) == "fire":
                name = alert_id(subject, second)
                await self._publish(subject, name, "firing", observed, second)
                self._open[subject.key_id] = OpenAlert(subject, name, second)

    async def judge_open(self) -> None:
        """Judge every key whose alert is open by the last full second: a key that went silent sends no sample.

        A clock that runs ahead of ours may have begun an alert in a second that is still to come: it is judged by that one.
        """
        last_full_second = int(self._clock()) - 1
        async with self._judging:
            for alert in list(self._open.values()):
                key_id, second = alert.subject.key_id, max(last_full_second, alert.second)
                observed = self._windows.last_minute(key_id, second)
                if judge(observed, self._thresholds.of(key_id), firing=True) == "resolve":
                    await self._publish(alert.subject, alert.name, "resolved", observed, second)
                    del self._open[key_id]

    async def _publish(self, subject: Subject, name: str, state: AlertState, observed: int, second: int) -> None:
        threshold = self._thresholds.of(subject.key_id)
        now = datetime.fromtimestamp(self._clock(), UTC)
        event = alert_event(subject, name, state, observed_tokens=observed, threshold=threshold, second=second, now=now)
        await self._publisher.publish(topics.ALERTS, [event])
        log.warning("velocity alert", state=state, key_id=subject.key_id, observed_tokens=observed, threshold=threshold)
