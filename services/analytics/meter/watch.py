"""Judging keys and saying so: one alert from the moment a key exceeds its threshold until it is back."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

import structlog

from schemas import topics
from schemas.alerts import AlertState
from services.analytics import metrics
from services.analytics.meter.alert_log import OpenAlert, open_alerts, read_alerts
from services.analytics.meter.windows import TokenWindows
from services.analytics.publisher import Publisher
from services.analytics.reader import KafkaAwayError
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
        self._owed: dict[str, tuple[Subject, int]] = {}
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
        While Kafka does not take the alert, it is owed, and :meth:`tick` tries again.
        """
        async with self._judging:
            await self._judge_sample(subject, second)

    async def tick(self) -> None:
        """Once a second: pay what is owed, and judge the open alerts by the last full second, as silent keys send no sample."""
        async with self._judging:
            try:
                for subject, second in list(self._owed.values()):
                    await self._judge_sample(subject, second)
                await self._resolve()
            except KafkaAwayError as error:
                log.warning("an alert could not be published yet", reason=str(error))

    async def _judge_sample(self, subject: Subject, second: int) -> None:
        observed = self._windows.last_minute(subject.key_id, second)
        firing = subject.key_id in self._open
        if judge(observed, self._thresholds.of(subject.key_id), firing=firing) == "fire":
            name = alert_id(subject, second)
            self._owed.setdefault(subject.key_id, (subject, second))
            await self._publish(subject, name, "firing", observed, second)
            self._open[subject.key_id] = OpenAlert(subject, name, second)
        self._owed.pop(subject.key_id, None)

    async def _resolve(self) -> None:
        """A clock ahead of ours may have begun an alert in a second that is still to come: the alert is judged by that one."""
        metrics.ALERTS_OPEN.set(len(self._open))
        last_full_second = int(self._clock()) - 1
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
