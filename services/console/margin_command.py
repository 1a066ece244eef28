"""`tollbook margin`: what was earned, by day, model, channel or account, in one currency."""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any

import typer

from services.console.fx_commands import written
from services.console.session import Json, session_of
from services.console.terminal import Terminal

FIGURES = ("charged", "refunded", "cost", "margin", "margin_percent", "uncosted")
CSV_FIELDS = ("key", "date", "currency", "requests", *FIGURES)
DAYS = 30


class By(StrEnum):
    """What a row is about."""

    DAY = "day"
    MODEL = "model"
    CHANNEL = "channel"
    ACCOUNT = "account"


def margin(
    context: typer.Context,
    since: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="YYYY-MM-DD", help="First day, in UTC; by default 30 days before the last.", show_default=False
        ),
    ] = None,
    to: Annotated[
        str | None, typer.Option("--to", metavar="YYYY-MM-DD", help="Last day, included; by default today.", show_default=False)
    ] = None,
    by: Annotated[By, typer.Option(help="What a row is about.")] = By.DAY,
    currency: Annotated[str, typer.Option(help="In which currency.")] = "USD",
    *,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV: the rows, then what could not be converted.")] = False,
    as_json: Json = False,
) -> None:
    """Show what was charged, less refunds and what the attempts cost, converted at the rate of each day."""
    session = session_of(context)
    last = to or datetime.now(UTC).date().isoformat()
    first = since or _days_before(last)
    with session.connect("settlement") as settlement:
        found = settlement.get("/admin/reports/margin", **{"from": first, "to": last, "by": by.value, "currency": currency})
    if as_json:
        session.terminal.json(found)
    elif as_csv:
        rows = [*({**row, "currency": found["currency"]} for row in found["data"]), *found["unconverted"]]
        session.terminal.write(written(CSV_FIELDS, rows))
    else:
        _say(session.terminal, found)


def _days_before(last: str) -> str:
    try:
        day = datetime.strptime(last, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError as error:
        raise typer.BadParameter(f"{last!r} is no day: write 2026-01-31") from error
    return (day - timedelta(days=DAYS)).date().isoformat()


def _say(terminal: Terminal, found: dict[str, Any]) -> None:
    currency = found["currency"]
    columns = (
        found["by"],
        "requests",
        *(f"{name} {currency}" for name in FIGURES[:4]),
        "margin %",
        f"of unknown cost {currency}",
    )
    total = {"key": "total", **found["total"]}
    terminal.table(columns, [_row(row) for row in (*found["data"], total)])
    for row in found["unconverted"]:
        amounts = ", ".join(f"{name} {row[name]}" for name in FIGURES[:3])
        terminal.say(f"not converted: {row['key'] or 'unknown'} on {row['date']}: {amounts} {row['currency']}", style="yellow")
    if found["unconverted"]:
        terminal.say(f"no rate to {currency} is known for those days, or the week before: `tollbook fx set`", style="yellow")


def _row(row: dict[str, Any]) -> tuple[Any, ...]:
    return (row["key"] or "unknown", row["requests"], *(row[name] for name in FIGURES))
