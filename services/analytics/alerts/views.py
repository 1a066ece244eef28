"""Alerts as the calls show them, and the pages of their list."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from schemas.access import ALL, Accounts
from services.analytics.admin_api import micros_of
from services.analytics.alerts import store
from services.analytics.alerts.freezes import Freeze
from services.analytics.alerts.machine import Alert
from services.analytics.alerts.records import alert_from
from services.analytics.alerts.silences import Silence
from services.analytics.alerts.wording import message
from services.analytics.database import Database, rows_of
from services.analytics.errors import QueryRefusedError, UnknownAlertError
from services.analytics.rows.fields import EPOCH

Json = dict[str, Any]
RESOLUTION = timedelta(microseconds=1)
NO_ID = UUID(int=0)
HISTORY_SHOWN = 200
BEGINS_OR_ENDS = ("alert_id", "state", "opened_at", "fired_at", "acknowledged_at", "acknowledged_by", "resolved_at")


class Asked(NamedTuple):
    """Which alerts: under way between the instants, of these accounts."""

    since: datetime
    until: datetime
    accounts: Accounts
    states: Sequence[str] | None = None
    rule: str | None = None
    subject_id: str | None = None
    after: str | None = None
    limit: int = 500


class Views:
    """Reads. Raises PostgresAwayError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, asked: Asked) -> Json:
        """A page of alerts, the newest first."""
        if asked.since >= asked.until:
            raise QueryRefusedError("from", "`from` must lie before `to`")
        before, before_id = (asked.until, NO_ID) if asked.after is None else _place(asked.after)
        values = {
            "accounts": named(asked.accounts),
            "states": None if asked.states is None else list(asked.states),
            "rule": asked.rule,
            "subject_id": asked.subject_id,
            "before": before,
            "before_id": before_id,
            "since": asked.since,
            "limit": asked.limit + 1,
        }
        async with self._database.transaction() as connection:
            rows = await rows_of(connection, store.SQL, "page", values)
            alerts = [alert_from(row["document"]) for row in rows[: asked.limit]]
            freezes = await store.freezes_of(connection, [UUID(alert.alert_id) for alert in alerts])
        of: dict[str, list[Freeze]] = defaultdict(list)
        for freeze in freezes:
            of[freeze.alert_id].append(freeze)
        shown = [alert_shown(alert, of[alert.alert_id]) for alert in alerts]
        following = None
        if len(rows) > asked.limit:
            following = f"{micros_of(rows[asked.limit - 1]['since'].astimezone(UTC))}/{alerts[-1].alert_id}"
        return {"object": "list", "data": shown, "next_after": following}

    async def alert(self, alert_id: UUID) -> Alert:
        """One alert. Raises UnknownAlertError."""
        async with self._database.transaction() as connection:
            found = await store.alert_of(connection, alert_id)
        if found is None:
            raise UnknownAlertError("alert", str(alert_id))
        return found

    async def detail(self, alert_id: UUID) -> Json:
        """One alert with its history."""
        async with self._database.transaction() as connection:
            alert = await store.alert_of(connection, alert_id)
            freezes = await store.freezes_of(connection, [alert_id])
            steps = await rows_of(connection, store.SQL, "transitions", {"alert_id": alert_id, "limit": HISTORY_SHOWN})
            deliveries = await rows_of(connection, store.SQL, "deliveries", {"alert_id": str(alert_id), "limit": HISTORY_SHOWN})
        if alert is None:
            raise UnknownAlertError("alert", str(alert_id))
        transitions = []
        for step in steps:
            then = alert_from(step.pop("alert")).last
            transitions.append(step | {"observed": then.observed, "threshold": then.threshold})
        verdict = alert.last
        more = {"receivers": list(verdict.receivers), "runbook": verdict.runbook, "detail": dict(verdict.detail)}
        return alert_shown(alert, freezes) | more | {"transitions": transitions, "deliveries": deliveries}

    async def silences(self, accounts: Accounts, *, every: bool, after: UUID | None, limit: int) -> Json:
        """A page of silences, the newest first."""
        values = {"accounts": named(accounts), "every": every, "after": after, "limit": limit + 1}
        rows = await self._database.rows(store.SQL, "silences", values)
        following = str(rows[limit - 1]["silence_id"]) if len(rows) > limit else None
        return {"object": "list", "data": rows[:limit], "next_after": following}

    async def silence(self, silence_id: UUID) -> Silence:
        """One silence. Raises UnknownAlertError."""
        rows = await self._database.rows(store.SQL, "silence", {"silence_id": silence_id})
        if not rows:
            raise UnknownAlertError("silence", str(silence_id))
        return store.silence_from(rows[0])


def named(accounts: Accounts) -> list[str] | None:
    """The accounts as a statement's parameter; None for all."""
    return None if accounts is ALL else sorted(accounts)


def alert_shown(alert: Alert, freezes: Sequence[Freeze]) -> Json:
    """An alert as the calls show it."""
    verdict = alert.last
    told = replace(alert, last=replace(verdict, observed=max(alert.peak, verdict.observed)))
    shown = {name: getattr(alert, name) for name in (*BEGINS_OR_ENDS, "resolved_by", "silenced_by", "flaps")}
    words = ("rule", "account_id", "project_id", "environment", "signal", "severity", "subject_kind", "subject_id")
    shown |= {name: getattr(verdict, name) for name in words}
    numbers = ("baseline", "threshold", "unit", "window_start", "window_end", "action")
    shown |= {name: getattr(verdict, name) for name in numbers}
    asked = [{name: value for name, value in asdict(freeze).items() if name != "alert_id"} for freeze in freezes]
    return shown | {
        "observed": told.last.observed,
        "latest": verdict.observed,
        "freezes": asked,
        "message": message(told, "firing"),
    }


def silence_shown(silence: Silence) -> Json:
    """A silence as the calls show it."""
    return asdict(silence)


def _place(after: str) -> tuple[datetime, UUID]:
    micros, _, alert_id = after.partition("/")
    fault = QueryRefusedError("after", "`after` must be the `next_after` of the page before")
    if not (micros.isascii() and micros.isdigit() and len(micros) < 18):
        raise fault
    try:
        return EPOCH + (int(micros) * RESOLUTION), UUID(alert_id)
    except (ValueError, OverflowError):
        raise fault from None
