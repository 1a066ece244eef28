"""`tollbook alerts deliveries`, `receivers` and `test-receiver`: what receivers of alerts are told, and whether they can be."""

from typing import Annotated, Any
from urllib.parse import quote

import typer

from services.console.entities.instants import when
from services.console.entities.options import Limit
from services.console.errors import ConsoleError
from services.console.paging import listed
from services.console.session import Json, session_of

STATES = ("waiting", "sent", "failed", "skipped")


class NotReachedError(ConsoleError):
    """The receiver did not take the test message: the message says why."""


def add_delivery_commands(app: typer.Typer) -> None:
    """Add the commands to the group of alerts."""
    app.command("deliveries")(list_deliveries)
    app.command("receivers")(list_receivers)
    app.command("test-receiver")(try_receiver)


def list_deliveries(
    context: typer.Context,
    *,
    alert: Annotated[str | None, typer.Option(help="Only of this alert, by id.", show_default=False)] = None,
    receiver: Annotated[str | None, typer.Option(help="Only to this receiver.", show_default=False)] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Only what was given up.")] = False,
    waiting: Annotated[bool, typer.Option("--waiting", help="Only what is not told yet.")] = False,
    limit: Limit = 100,
    as_json: Json = False,
) -> None:
    """List what receivers of alerts were told, the newest first, and why they were not."""
    if failed and waiting:
        raise typer.BadParameter("what is given up does not wait: give --failed or --waiting")
    state = "failed" if failed else "waiting" if waiting else None
    wanted: dict[str, Any] = {"alert_id": alert, "receiver": receiver, "state": state}
    session = session_of(context)
    with session.connect("analytics") as analytics:
        found = listed(analytics, "/admin/deliveries", limit, **{name: value for name, value in wanted.items() if value})
    if as_json:
        session.terminal.json(found)
    elif found["data"]:
        session.terminal.table(
            ("since", "receiver", "event", "alert", "state", "tries", "over", "why"),
            [
                (
                    when(row["created_at"]), row["receiver"], row["event"], row["alert_id"], row["state"], row["attempts"],
                    when(row["ended_at"]), row["reason"],
                )
                for row in found["data"]
            ],
        )  # fmt: skip
    else:
        session.terminal.say("There are no such deliveries.")


def list_receivers(context: typer.Context, *, as_json: Json = False) -> None:
    """List the receivers of the alert rules in force: what each takes, and how it does."""
    session = session_of(context)
    with session.connect("analytics") as analytics:
        found = analytics.get("/admin/receivers")
    if as_json:
        session.terminal.json(found)
    elif found["data"]:
        session.terminal.table(
            ("name", "kind", "events", "waiting", "last sent", "left alone until", "missing variables", "last trouble"),
            [
                (
                    row["name"], row["kind"], ", ".join(row["events"]), row["waiting"], when(row["sent_at"]),
                    when(row["paused_until"]), ", ".join(each["name"] for each in row["variables"] if not each["is_set"]),
                    row["reason"],
                )
                for row in found["data"]
            ],
        )  # fmt: skip
    else:
        session.terminal.say(
            "The alert rules in force name no receivers, so nobody is told: write some into the file"
            " (`tollbook alerts rules export`), and apply it."
        )


def try_receiver(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The receiver's name in the rule file.", show_default=False)],
    *,
    as_json: Json = False,
) -> None:
    """Send a test message to a receiver now, and say what became of it; the exit code is 3 where it was not taken."""
    session = session_of(context)
    with session.connect("analytics") as analytics:
        told = analytics.post(f"/admin/receivers/{quote(name, safe='')}/test", {})
    if as_json:
        session.terminal.json(told)
    elif told["sent"]:
        session.terminal.say(f"{told['receiver']} ({told['kind']}) took the test message within {told['took_ms']} ms")
    if not told["sent"]:
        raise NotReachedError(f"{told['receiver']} ({told['kind']}) did not take the test message: {told['reason']}")
