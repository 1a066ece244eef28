"""The schedule: baselines every hour, slow rules every quarter of a minute, by one process of all.

Verdicts are level-triggered, so what is judged twice changes nothing; the lock saves the work.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from schemas.alert_rules import SIGNALS, FallbackRule, MixRule, SpendRule
from services.analytics import metrics
from services.analytics.alerts.desk import AlertDesk
from services.analytics.alerts.store import open_alerts
from services.analytics.alerts.verdict import Verdict
from services.analytics.database import Database, rows_of
from services.analytics.errors import TransientError
from services.analytics.signals import scheduled
from services.analytics.signals.history import Usuals, usuals_at
from services.analytics.signals.rule_book import RuleBook
from services.analytics.signals.shares import latest_s
from services.analytics.sqlfile import queries
from services.analytics.warehouse import Warehouse

EVERY_S = 15.0
FIRST_S = 2.0
"""So often baselines are asked for until they were read once."""
HELD_S = 600.0
"""So long nothing is judged before they were. Rules that are never judged would be worse than floors alone."""
RETRY_S = 60.0
"""After so long baselines that could not be read are asked for again; the last known count meanwhile."""
SQL = "signals.sql"
log = structlog.get_logger("analytics.schedule")


class Schedule:
    """Judges the rules in force by what the warehouse has. `usuals` are the baselines that it read last."""

    def __init__(
        self, warehouse: Warehouse, database: Database, book: RuleBook, desk: AlertDesk, clock: Callable[[], float] = time.time
    ) -> None:
        self._warehouse = warehouse
        self._database = database
        self._book = book
        self._desk = desk
        self._clock = clock
        self._begun_s = clock()
        self._next_read_s = 0.0
        self.usuals = Usuals()

    async def run(self) -> None:
        """Judge again and again, until it is cancelled."""
        while True:
            await self._tried("baselines were not read", self.refresh)
            await self._tried("scheduled rules were not judged", self.judge)
            await asyncio.sleep(EVERY_S if self.usuals.hour else FIRST_S)

    async def _tried(self, failed: str, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except TransientError as error:
            metrics.SCHEDULE_FAILURES.inc()
            log.warning(failed, reason=str(error)[:200])
        except Exception:
            # Tried again: rules that are judged no more would be worse.
            metrics.SCHEDULE_FAILURES.inc()
            log.exception("the schedule met a fault")

    async def refresh(self) -> None:
        """Read the baselines of the hour, once."""
        now_s = self._clock()
        hour = int(now_s) // 3600
        if hour == self.usuals.hour or (self.usuals.hour and now_s < self._next_read_s):
            return
        self._next_read_s = now_s + RETRY_S
        self.usuals = await usuals_at(self._warehouse, hour)
        log.info("baselines read", hour=hour, keys=len(self.usuals.keys), channels=len(self.usuals.errors))

    async def judge(self) -> None:
        """Judge every scheduled rule once, unless another process does so now. Nothing before it is known what is usual, nor
        before the rules are: without any, every open alert would be one of which nothing is seen any more."""
        if not self._book.is_read or (not self.usuals.hour and self._clock() - self._begun_s < HELD_S):
            return
        async with self._database.transaction() as connection:
            if not (await rows_of(connection, "rules.sql", "take_schedule"))[0]["taken"]:
                return
            with metrics.SCHEDULE_SECONDS.time():
                found = [verdict for rule in scheduled.of_signal(self._book.rules) for verdict in await self._verdicts(rule)]
            still = [alert.last for alert in await open_alerts(connection)]
            ours = [last for last in still if last.signal in scheduled.SIGNALS]
            await self._desk.take(scheduled.worth_telling(found, ours, int(self._clock())))
            rules: dict[str, str] = {rule.id: rule.signal for rule in self._book.rules.rules}
            if self._book.version and any(last.signal in SIGNALS and rules.get(last.rule) != last.signal for last in still):
                await self._desk.retire(rules, SIGNALS)

    async def _verdicts(self, rule: FallbackRule | SpendRule | MixRule) -> list[Verdict]:
        if not rule.enabled and not rule.overrides:
            return []
        end_s = int(self._clock())
        if isinstance(rule, SpendRule):
            rows = await self._rows("spend_window", end_s, rule.window_s)
            return list(scheduled.spend(rule, rows, self.usuals, end_s))
        if isinstance(rule, MixRule):
            rows = await self._rows("mix_window", end_s, rule.window_s)
            return list(scheduled.mixes(rule, rows, self.usuals, end_s))
        rows = await self._rows("model_window", end_s, rule.window_s)
        latest = await self._rows("model_window", end_s, latest_s(rule.window_s))
        return list(scheduled.fallbacks(rule, rows, latest, self.usuals, end_s))

    async def _rows(self, name: str, end_s: int, window_s: int) -> list[dict[str, Any]]:
        """The rollups' minutes that lie in the window, and that which it begins in."""
        asked = {"from_s": (end_s - window_s) // 60 * 60, "to_s": end_s + 60}
        return await self._warehouse.rows(queries(SQL)[name], asked)
