"""`tollbook alerts …`: what was noticed, what became of it, and what is to be done about it."""

from typing import Annotated, Any
from uuid import UUID

import typer

from schemas.envelope import now
from services.console.entities.instants import when
from services.console.entities.naming import ACCOUNT, id_of
from services.console.entities.options import Limit, Reason
from services.console.entities.silence_commands import app as silences_app
from services.console.paging import listed
from services.console.session import Author, Json, Session, session_of
from services.console.spoken import instant

app = typer.Typer(help="Alerts: what was noticed, and what to do about it.", no_args_is_help=True)
app.add_typer(silences_app, name="silences")
AlertId = Annotated[
    UUID, typer.Argument(metavar="ALERT", help="The alert's id, of `tollbook alerts list`.", show_default=False)
]


@app.command("list")
def list_alerts(
    context: typer.Context,
    *,
    since: Annotated[str, typer.Option(help="7d ago, a date, or an instant.")] = "7d",
    until: Annotated[str | None, typer.Option(help="By default now.", show_default=False)] = None,
    account: Annotated[str | None, typer.Option("--account", "-a", help="Only this account's.", show_default=False)] = None,
    state: Annotated[
        list[str] | None,
        typer.Option(help="Only in this state: pending, firing, acknowledged, resolved; may be repeated.", show_default=False),
    ] = None,
    rule: Annotated[str | None, typer.Option(help="Only of this rule.", show_default=False)] = None,
    firing: Annotated[bool, typer.Option("--firing", help="Only those that are not over.")] = False,
    limit: Limit = 500,
    as_json: Json = False,
) -> None:
    """List alerts of a time, the newest first."""
    session = session_of(context)
    asked: dict[str, Any] = {"from": instant(since, now(), past=True), "rule": rule, "state": state}
    asked |= {"to": instant(until, now(), past=True)} if until else {}
    if account is not None:
        with session.connect("edge") as edge:
            asked["account_id"] = id_of(edge, ACCOUNT, account)
    asked = {name: value for name, value in asked.items() if value}
    with session.connect("analytics") as analytics:
        found = listed(analytics, "/admin/alerts", limit, **asked)
    shown = [row for row in found["data"] if not firing or row["resolved_at"] is None]
    if as_json:
        session.terminal.json({**found, "data": shown})
    elif shown:
        session.terminal.table(("alert", "since", "over", "state", "rule", "of", "what"), [_row(row) for row in shown])
    else:
        session.terminal.say("There are no such alerts.")


@app.command()
def show(context: typer.Context, alert_id: AlertId, as_json: Json = False) -> None:
    """Show an alert, what happened to it, and what its rule wants frozen."""
    session = session_of(context)
    with session.connect("analytics") as analytics:
        alert = analytics.get(f"/admin/alerts/{alert_id}")
    _say(session, alert, as_json=as_json)


@app.command("ack")
def acknowledge(
    context: typer.Context, alert_id: AlertId, *, reason: Reason = None, author: Author, as_json: Json = False
) -> None:
    """Say that you look after an alert."""
    _act(context, alert_id, "acknowledge", _because(reason, author), as_json=as_json)


@app.command()
def resolve(context: typer.Context, alert_id: AlertId, *, reason: Reason = None, author: Author, as_json: Json = False) -> None:
    """End an alert. It comes back if its signal still exceeds."""
    _act(context, alert_id, "resolve", _because(reason, author), as_json=as_json)


@app.command()
def approve(context: typer.Context, alert_id: AlertId, *, reason: Reason = None, author: Author, as_json: Json = False) -> None:
    """Freeze what an alert asks to freeze."""
    _act(context, alert_id, "approve", _because(reason, author), as_json=as_json)


@app.command()
def decline(context: typer.Context, alert_id: AlertId, *, reason: Reason = None, author: Author, as_json: Json = False) -> None:
    """Leave alone what an alert asks to freeze."""
    _act(context, alert_id, "decline", _because(reason, author), as_json=as_json)


@app.command()
def silence(
    context: typer.Context,
    alert_id: AlertId,
    *,
    until: Annotated[str, typer.Option(help="2h from now, a date, or an instant.", show_default=False)],
    reason: Annotated[str, typer.Option(help="Why, for the record.", show_default=False)],
    author: Author,
    as_json: Json = False,
) -> None:
    """Be told nothing of an alert for a while. Detection goes on."""
    body = {"until": instant(until, now()), "reason": reason, "author": author}
    _act(context, alert_id, "silence", body, as_json=as_json)


@app.command()
def unsilence(
    context: typer.Context, alert_id: AlertId, *, reason: Reason = None, author: Author, as_json: Json = False
) -> None:
    """Be told of an alert again."""
    _act(context, alert_id, "unsilence", _because(reason, author), as_json=as_json)


def _because(reason: str | None, author: str) -> dict[str, Any]:
    return {"author": author} | ({"reason": reason} if reason else {})


def _act(context: typer.Context, alert_id: UUID, verb: str, body: dict[str, Any], *, as_json: bool) -> None:
    session = session_of(context)
    with session.connect("analytics") as analytics:
        alert = analytics.post(f"/admin/alerts/{alert_id}/{verb}", body)
    _say(session, alert, as_json=as_json)


def _state(alert: dict[str, Any]) -> str:
    return f"{alert['state']}, silenced" if alert["silenced_by"] and alert["resolved_at"] is None else str(alert["state"])


def _row(alert: dict[str, Any]) -> tuple[Any, ...]:
    since, subject = when(alert["fired_at"] or alert["opened_at"]), f"{alert['subject_kind']} {alert['subject_id']}"
    return alert["alert_id"], since, when(alert["resolved_at"]), _state(alert), alert["rule"], subject, alert["message"]


def _say(session: Session, alert: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        session.terminal.json(alert)
        return
    names = ("alert_id", "rule", "severity", "account_id", "project_id")
    times = ("fired_at", "acknowledged_at", "resolved_at")
    session.terminal.facts(
        {name: alert[name] or None for name in names}
        | {"of": f"{alert['subject_kind']} {alert['subject_id']}", "state": _state(alert), "what": alert["message"]}
        | {name: when(alert[name]) for name in times}
        | {"acknowledged_by": alert["acknowledged_by"], "flaps": alert["flaps"] or None, "runbook": alert["runbook"] or None}
    )
    for freeze in alert["freezes"]:
        session.terminal.say(f"freeze {freeze['kind']} {freeze['target_id']}: {freeze['state']} {freeze['last_error'] or ''}")
        if freeze["state"] == "asked":
            session.terminal.say(f"  tollbook alerts approve {alert['alert_id']}   or   decline")
        if freeze["state"] == "done":
            session.terminal.say(f"  undone by: tollbook {freeze['kind']}s unfreeze {freeze['target_id']}")
    for told in reversed(alert["deliveries"]):
        session.terminal.say(f"{told['event']} to {told['receiver']}: {told['state']} {told['reason'] or ''}".rstrip())
    for step in reversed(alert["transitions"]):
        by = f" by {step['by']}" if step["by"] else ""
        why = f": {step['reason']}" if step["reason"] else ""
        session.terminal.say(f"{when(step['at'])}  {step['kind']}{by}{why}")
