"""`tollbook alerts list`: what the meter noticed."""

from typing import Annotated, Any

import typer

from schemas.envelope import now
from services.console.entities.instants import when
from services.console.entities.naming import ACCOUNT, id_of
from services.console.entities.options import Limit
from services.console.paging import listed
from services.console.session import Json, session_of
from services.console.spoken import instant

app = typer.Typer(help="Alerts: what the meter noticed.", no_args_is_help=True)


@app.command("list")
def list_alerts(
    context: typer.Context,
    *,
    since: Annotated[str, typer.Option(help="7d ago, a date, or an instant.")] = "7d",
    until: Annotated[str | None, typer.Option(help="By default now.", show_default=False)] = None,
    account: Annotated[str | None, typer.Option("--account", "-a", help="Only this account's.", show_default=False)] = None,
    firing: Annotated[bool, typer.Option("--firing", help="Only those that are not over.")] = False,
    limit: Limit = 500,
    as_json: Json = False,
) -> None:
    """List alerts of a time, the newest first."""
    session = session_of(context)
    asked: dict[str, Any] = {"from": instant(since, now(), past=True)}
    asked |= {"to": instant(until, now(), past=True)} if until else {}
    if account is not None:
        with session.connect("edge") as edge:
            asked["account_id"] = id_of(edge, ACCOUNT, account)
    with session.connect("analytics") as analytics:
        found = listed(analytics, "/admin/alerts", limit, **asked)
    shown = [row for row in found["data"] if not firing or row["resolved_at"] is None]
    if as_json:
        session.terminal.json({**found, "data": shown})
    elif shown:
        session.terminal.table(
            ("since", "over", "state", "signal", "of", "what"),
            [
                (
                    when(row["fired_at"]), when(row["resolved_at"]), row["state"], row["signal"],
                    f"{row['subject_kind']} {row['subject_id']}", row["message"],
                )
                for row in shown
            ],
        )  # fmt: skip
    else:
        session.terminal.say("There are no such alerts.")
