"""`tollbook alerts list`: what the meter noticed."""

from typing import Annotated

import typer

from schemas.envelope import now
from services.console.session import Json, session_of
from services.console.spoken import instant

app = typer.Typer(help="Alerts: what the meter noticed.", no_args_is_help=True)


@app.command("list")
def list_alerts(
    context: typer.Context,
    *,
    since: Annotated[str, typer.Option(help="7d ago, a date, or an instant.")] = "7d",
    until: Annotated[str | None, typer.Option(help="By default now.", show_default=False)] = None,
    firing: Annotated[bool, typer.Option("--firing", help="Only those that are not over.")] = False,
    as_json: Json = False,
) -> None:
    """List alerts of a time, the newest first (the latest 500)."""
    session = session_of(context)
    asked = {"from": instant(since, now(), past=True)} | ({"to": instant(until, now(), past=True)} if until else {})
    with session.connect("analytics") as analytics:
        data = analytics.get("/admin/alerts", **asked)["data"]
    shown = [row for row in data if not firing or row["resolved_at"] is None]
    if as_json:
        session.terminal.json({"object": "list", "data": shown, "next_after": None})
    elif shown:
        session.terminal.table(
            ("since", "over", "state", "signal", "of", "what"),
            [
                (
                    row["fired_at"], row["resolved_at"], row["state"], row["signal"],
                    f"{row['subject_kind']} {row['subject_id']}", row["message"],
                )
                for row in shown
            ],
        )  # fmt: skip
    else:
        session.terminal.say("There are no such alerts.")
