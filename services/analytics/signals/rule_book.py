"""The rules in force, kept in memory: a version that is applied counts in every process within a second."""

import asyncio

import structlog

from schemas.alert_rules import AlertRules
from services.analytics.errors import PostgresAwayError, RulesRefusedError
from services.analytics.signals.rule_store import NONE_YET, RuleStore, parsed

POLL_S = 0.5
log = structlog.get_logger("analytics.rules")


class RuleBook:
    """What was read last. While Postgres is away, or a stored file is refused, that stays. `is_read`: whether anything was."""

    def __init__(self, store: RuleStore) -> None:
        self._store = store
        self.version = 0
        self.file: str = NONE_YET["file"]
        self.rules = parsed(NONE_YET)
        self.is_read = False
        self._looked_at: int | None = None

    def receivers(self) -> tuple[str, ...]:
        """Who hears of the meter and the loader themselves: everybody whom a rule that pages notifies."""
        return tuple(sorted({name for rule in self.rules.rules if rule.severity == "page" for name in rule.notify}))

    async def refresh(self) -> bool:
        """Look whether another version is in force; whether it is. Raises PostgresAwayError."""
        version = await self._store.version()
        if version == self._looked_at:
            return False
        row = await self._store.in_force()
        self._looked_at = row["version"]
        try:
            self._take(row["version"], row["file"], parsed(row))
        except RulesRefusedError as error:
            log.warning("the stored alert rules are refused: apply them anew", version=row["version"], reason=str(error))
            return False
        return True

    def _take(self, version: int, file: str, rules: AlertRules) -> None:
        self.version, self.file, self.rules, self.is_read = version, file, rules, True
        log.info("alert rules in force", version=version, rules=len(rules.rules))

    async def run(self) -> None:
        """Look twice a second, until it is cancelled."""
        while True:
            try:
                await self.refresh()
            except PostgresAwayError as error:
                log.warning("alert rules cannot be read, those read last count", reason=str(error)[:200])
            except Exception:
                # Tried again: rules that are followed no more would be worse.
                log.exception("the alert rules met a fault")
            await asyncio.sleep(POLL_S)
