"""Alerts in Postgres. Everything here runs in the turn that its transaction has taken, so that nobody else moves an alert."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from schemas.envelope import new_id
from services.analytics.alerts.events import event_of
from services.analytics.alerts.freezes import Freeze, wanted
from services.analytics.alerts.machine import Alert, Transition
from services.analytics.alerts.records import alert_from, document_of
from services.analytics.alerts.silences import Silence
from services.analytics.alerts.verdict import About
from services.analytics.database import Connection, Row, rows_of

SQL = "alerts.sql"


class Kept(NamedTuple):
    """An alert as it is stored, and when it was written."""

    alert: Alert
    updated_at: datetime


async def take_turn(connection: Connection) -> datetime:
    """Wait until nobody else moves alerts; the instant of this turn."""
    at: datetime = (await rows_of(connection, SQL, "take_turn"))[0]["at"]
    return at


async def alerts_about(connection: Connection, abouts: Sequence[About]) -> dict[About, Kept]:
    """The latest alert about each rule and subject."""
    asked = {
        "rules": [about.rule for about in abouts],
        "kinds": [about.subject_kind for about in abouts],
        "subjects": [about.subject_id for about in abouts],
    }
    found = [
        Kept(alert_from(row["document"]), row["updated_at"]) for row in await rows_of(connection, SQL, "alerts_about", asked)
    ]
    return {kept.alert.about: kept for kept in found}


async def alert_of(connection: Connection, alert_id: UUID) -> Alert | None:
    """One alert."""
    rows = await rows_of(connection, SQL, "alert", {"alert_id": alert_id})
    return alert_from(rows[0]["document"]) if rows else None


async def open_alerts(connection: Connection) -> list[Alert]:
    """Those that are not over."""
    return [alert_from(row["document"]) for row in await rows_of(connection, SQL, "open_alerts")]


async def silences_in_force(connection: Connection, at: datetime) -> list[Silence]:
    """Those that silence something now."""
    return [silence_from(row) for row in await rows_of(connection, SQL, "silences_in_force", {"at": at})]


def silence_from(row: Row) -> Silence:
    """The silence of a row."""
    return Silence(**(row | {"silence_id": str(row["silence_id"])}))


def freeze_from(row: Row) -> Freeze:
    """The freeze of a row."""
    return Freeze(**(row | {"freeze_id": str(row["freeze_id"]), "alert_id": str(row["alert_id"])}))


async def freezes_of(connection: Connection, alert_ids: Iterable[UUID]) -> list[Freeze]:
    """What these alerts asked to freeze."""
    rows = await rows_of(connection, SQL, "freezes", {"alert_ids": list(alert_ids)})
    return [freeze_from(row) for row in rows]


async def keep(connection: Connection, alert: Alert, at: datetime) -> None:
    """Write an alert as it stands."""
    verdict = alert.last
    values: dict[str, Any] = {
        "alert_id": alert.alert_id,
        "rule": verdict.rule,
        "subject_kind": verdict.subject_kind,
        "subject_id": verdict.subject_id,
        "signal": verdict.signal,
        "account_id": verdict.account_id,
        "state": alert.state,
        "opened_at": alert.opened_at,
        "fired_at": alert.fired_at,
        "resolved_at": alert.resolved_at,
        "document": document_of(alert),
        "at": at,
    }
    await rows_of(connection, SQL, "keep_alert", values)


async def add_step(connection: Connection, alert: Alert, step: Transition) -> UUID:
    """Write a step of an alert and the event that tells of it; the id of the step."""
    transition_id = new_id()
    values = {
        "transition_id": transition_id,
        "alert_id": alert.alert_id,
        "kind": step.kind,
        "at": step.at,
        "told": step.told,
        "by": step.by,
        "reason": step.reason,
        "document": document_of(alert),
    }
    await rows_of(connection, SQL, "add_transition", values)
    if (event := event_of(alert, step, transition_id)) is not None:
        await rows_of(connection, SQL, "put_event", {"event": event.to_json().decode()})
    return transition_id


async def ask_freeze(connection: Connection, alert: Alert, at: datetime) -> Freeze | None:
    """What an alert that begins to be heard wants frozen: put into the queue, or before a person."""
    freeze = wanted(alert, str(new_id()), at)
    if freeze is not None:
        values = {
            "freeze_id": freeze.freeze_id,
            "alert_id": freeze.alert_id,
            "kind": freeze.kind,
            "target_id": freeze.target_id,
            "state": freeze.state,
            "locked": freeze.locked,
            "author": freeze.author,
            "reason": freeze.reason,
            "asked_at": freeze.asked_at,
        }
        await rows_of(connection, SQL, "add_freeze", values)
    return freeze


async def decide_freezes(connection: Connection, alert: Alert, state: str, by: str | None, at: datetime) -> list[Row]:
    """Answer what an alert had asked a person; what it was about."""
    values = {"alert_id": alert.alert_id, "state": state, "by": by, "at": at}
    return await rows_of(connection, SQL, "decide_freezes", values)
