"""What goes on by itself beside verdicts and people: relay, freezes, ends of silences, the watch over the meter, forgetting."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime

import structlog

from services.analytics import metrics
from services.analytics.alerts import store
from services.analytics.alerts.desk import AlertDesk
from services.analytics.alerts.forgetting import Forgetter
from services.analytics.alerts.freezer import Freezer
from services.analytics.alerts.outbox import Outbox
from services.analytics.alerts.verdict import Verdict
from services.analytics.alerts.vigil import Watched, verdicts
from services.analytics.closing import asked_to_end
from services.analytics.database import Database
from services.analytics.errors import CancelledInsideError, TransientError
from services.analytics.publisher import Publisher
from services.analytics.reader import KafkaAwayError

TICK_S = 1.0
POLL_S = 0.5
"""So soon is seen what another instance wrote."""
AWAY_S = 1.0
FORGET_S = 3600.0
log = structlog.get_logger("analytics.alerts")


class Watcher:
    """Looks whether meter and loader are well. `loader_lag_s` is None where another process loads."""

    def __init__(
        self, database: Database, loader_lag_s: Callable[[], float | None], receivers: Callable[[], tuple[str, ...]]
    ) -> None:
        self._database = database
        self._loader_lag_s = loader_lag_s
        self._receivers = receivers
        self._begun_s = time.monotonic()

    async def verdicts(self) -> list[Verdict]:
        """What there is to say of them."""
        (watch,) = await self._database.rows(store.SQL, "watch")
        metrics.ALERT_EVENTS_WAITING.set(watch["waiting"])
        now: datetime = watch["at"]
        heard_at: datetime | None = watch["heard_at"]
        heard_s = None if heard_at is None else (now - heard_at).total_seconds()
        metrics.METER_SILENT_SECONDS.set(float("nan") if heard_s is None else heard_s)
        watched = Watched(
            heard_s=heard_s,
            meter_lag_s=watch["lag_s"],
            loader_lag_s=self._loader_lag_s(),
            up_s=time.monotonic() - self._begun_s,
        )
        return verdicts(watched, now, self._receivers())


class Upkeep:
    """Runs until it is stopped. Without a watcher nothing is said of meter and loader."""

    def __init__(
        self,
        database: Database,
        desk: AlertDesk,
        freezer: Freezer,
        publisher: Publisher,
        watcher: Watcher | None,
        *,
        forgetter: Forgetter,
    ) -> None:
        self._desk = desk
        self._freezer = freezer
        self._publisher = publisher
        self._outbox = Outbox(database, publisher)
        self._watcher = watcher
        self._forgetter = forgetter
        self._woken = {"relay": asyncio.Event(), "freezer": asyncio.Event()}

    def wake(self) -> None:
        """Something was written that may have to be published or frozen."""
        for event in self._woken.values():
            event.set()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._again("relay", self._relay, POLL_S))
            group.create_task(self._again("freezer", self._freezer.work, POLL_S))
            group.create_task(self._again("watch", self._watch, TICK_S))
            group.create_task(self._again("forgetting", self._forgetter.work, FORGET_S))

    async def _again(self, name: str, work: Callable[[], Awaitable[object]], pause_s: float) -> None:
        """Do it again and again; what is away is waited for."""
        woken, away = self._woken.get(name, asyncio.Event()), False
        while True:
            woken.clear()
            try:
                await work()
                away = False
            except asyncio.CancelledError:
                if asked_to_end():
                    raise
                away = self._said(name, CancelledInsideError("a call was cancelled from within"), away=away)
            except TransientError as error:
                away = self._said(name, error, away=away)
            except Exception:
                # The others go on, and this is tried again: alerts that stand still would be worse.
                log.exception("alerts met a fault", work=name)
                away = True
            with suppress(TimeoutError):
                await asyncio.wait_for(woken.wait(), AWAY_S if away else pause_s)

    def _said(self, name: str, error: Exception, *, away: bool) -> bool:
        if not away:
            log.warning("alerts wait", work=name, error=type(error).__name__, reason=str(error))
        return True

    async def _relay(self) -> None:
        if not self._publisher.started:
            await self._publisher.start()
        try:
            while await self._outbox.publish():
                continue
        except KafkaAwayError:
            # A producer that was refused for good would stay so: the next one begins anew.
            await self._publisher.stop()
            raise

    async def _watch(self) -> None:
        """Whether silences are over, and whether meter and loader are well."""
        await self._desk.let_be_heard()
        if self._watcher is not None:
            await self._desk.take(await self._watcher.verdicts())
