"""Versions of the alert rules in Postgres. The last is in force; applying the same file again makes none."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from schemas.alert_rules import AlertRules
from services.analytics.audit import Change, Who, record
from services.analytics.database import Connection, Database, Row, rows_of
from services.analytics.errors import NoSuchRulesError, RulesMovedError
from services.analytics.signals.rule_diff import changes
from services.analytics.signals.rule_file import parse_rules

SQL = "rules.sql"
NONE_YET: Row = {"version": 0, "file": "rules: []\n", "sha256": "", "author": "", "applied_at": None}


@dataclass(frozen=True, slots=True)
class Applied:
    """The version that is in force, and whether applying made it."""

    row: Row
    new: bool


def parsed(row: Row) -> AlertRules:
    """The rules of a stored version. It was read before it was stored; a later Tollbook may refuse it: RulesRefusedError."""
    return parse_rules(row["file"])


class RuleStore:
    """Reads and writes versions. Raises PostgresAwayError where Postgres does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def in_force(self) -> Row:
        """The last version; version 0, of no rules, before the first."""
        return _first(await self._database.rows(SQL, "rules_in_force"))

    async def version(self) -> int:
        """The number of the version in force."""
        return int((await self._database.rows(SQL, "version_in_force"))[0]["version"])

    async def of_version(self, version: int) -> Row:
        """One version. Raises NoSuchRulesError."""
        found = await self._database.rows(SQL, "rules_of_version", {"version": version})
        if not found:
            raise NoSuchRulesError(version)
        return found[0]

    async def versions(self, before: int | None, limit: int) -> list[Row]:
        """Versions without their files, the last first."""
        return await self._database.rows(SQL, "rule_versions", {"before": before, "limit": limit})

    async def apply(self, file: str, rules: AlertRules, expected: int | None, by: Who) -> Applied:
        """Put rules in force, with `expected` only in place of that version. Raises RulesMovedError."""
        sha256 = hashlib.sha256(file.encode()).hexdigest()
        async with self._database.transaction() as connection:
            await rows_of(connection, SQL, "lock_rules")
            before = _first(await rows_of(connection, SQL, "rules_in_force"))
            if before["sha256"] == sha256:
                return Applied(before, new=False)
            if expected is not None and expected != before["version"]:
                raise RulesMovedError(expected, before["version"])
            words = {"version": before["version"] + 1, "file": file, "sha256": sha256, "author": by.author}
            row = (await rows_of(connection, SQL, "add_rules", words))[0]
            await _record(connection, by, before, row, rules)
            return Applied(row, new=True)


def _first(rows: Sequence[Row]) -> Row:
    return rows[0] if rows else NONE_YET


async def _record(connection: Connection, by: Who, before: Row, after: Row, rules: AlertRules) -> None:
    """The audit log says which rules changed and how; the versions have the files."""
    found: list[dict[str, Any]] = [change._asdict() for change in changes(parsed(before), rules)]
    told = {"version": after["version"], "sha256": after["sha256"], "changes": found}
    was = {"version": before["version"], "sha256": before["sha256"]} if before["version"] else None
    await record(connection, by, Change("alert_rules.apply", "alert_rules", str(after["version"]), before=was, after=told))
