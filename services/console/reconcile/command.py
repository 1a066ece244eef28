"""`tollbook reconcile FILE --provider NAME`: what a provider bills against what the ledger has."""

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from services.console.errors import FOUND_WRONG, BadFileError
from services.console.reconcile.invoice import FORMATS, BadRowError, Line, instant
from services.console.reconcile.invoice_file import InvoiceFile, columns_of, read_invoice
from services.console.reconcile.ledger_side import read_ledger
from services.console.reconcile.matching import Report, Share, match_days, match_lines
from services.console.session import Json, session_of
from services.console.terminal import Terminal

MARGIN = timedelta(hours=1)
SHOWN = 20
"""Entries of one kind that a person is shown; `--json` has all."""


def reconcile(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="The provider's export, CSV in UTF-8.", show_default=False)],
    *,
    provider: Annotated[str, typer.Option(help="The provider: its channels' brand, and the format of its export.")],
    channel: Annotated[list[str] | None, typer.Option(help="Only these channels; may be repeated.")] = None,
    form: Annotated[
        str | None, typer.Option("--format", help=f"The export's format: {', '.join(FORMATS)}; by default the provider's.")
    ] = None,
    column: Annotated[
        list[str] | None, typer.Option(metavar="FIELD=NAME", help="What the file calls a field; may be repeated.")
    ] = None,
    currency: Annotated[str | None, typer.Option(help="Of costs that the file gives no currency for.")] = None,
    since: Annotated[str | None, typer.Option(help="The period's begin; by default the first line's.")] = None,
    until: Annotated[str | None, typer.Option(help="The period's end; by default the last line's.")] = None,
    as_json: Json = False,
) -> None:
    """Compare a provider's invoice or usage export with the ledger, and say how much of it the ledger has."""
    session = session_of(context)
    invoice = read_invoice(file, columns_of(form or provider, _named(column or []), currency))
    begin, end = _period(file, invoice.lines, since, until)
    with session.connect("settlement") as settlement:
        ledger = read_ledger(settlement, begin - MARGIN, end + MARGIN, channels=channel or [], brand=provider)
    match = match_lines if invoice.has_ids else match_days
    report = match(invoice.lines, ledger, begin, end)
    if as_json:
        session.terminal.json(_document(report, invoice, begin, end))
    else:
        _say(session.terminal, report, invoice)
    if report.unexplained or invoice.bad:
        raise typer.Exit(FOUND_WRONG)


def _named(columns: Sequence[str]) -> dict[str, str]:
    pairs = [each.partition("=") for each in columns]
    if any(not name or not value for name, _, value in pairs):
        raise typer.BadParameter("write --column FIELD=NAME, such as --column cost=Amount")
    return {name: value for name, _, value in pairs}


def _period(file: Path, lines: Sequence[Line], since: str | None, until: str | None) -> tuple[datetime, datetime]:
    if not lines:
        raise BadFileError(f"{file} has no line that could be used")
    try:
        begin, end = instant(since or ""), instant(until or "")
    except BadRowError as error:
        raise typer.BadParameter(str(error)) from error
    first = min(line.at or datetime.combine(line.day, time.min, UTC) for line in lines)
    last = max(line.at or datetime.combine(line.day, time.max, UTC) for line in lines)
    if lines[0].at is not None and lines[0].at.time() == time.min:
        last = max(last, datetime.combine(last.date(), time.max, UTC))
    return begin or first, end or last


def _document(report: Report, invoice: InvoiceFile, begin: datetime, end: datetime) -> dict[str, Any]:
    return {
        "matched_by": report.by,
        "since": begin.isoformat(),
        "until": end.isoformat(),
        "lines": report.lines,
        "matched": report.matched,
        "bad_rows": [{"line": number, "why": why} for number, why in invoice.bad],
        "capture": {
            "cost": {currency: _share(share) for currency, share in sorted(report.cost.items())},
            "tokens": _share(report.tokens),
        },
        "only_provider": report.only_provider,
        "only_ledger": report.only_ledger,
        "different": report.different,
        "exposure": report.exposure,
        "unexplained": report.unexplained,
    }


def _share(share: Share) -> dict[str, Any]:
    return {"billed": share.billed, "captured": share.captured, "rate": share.rate}


def _say(terminal: Terminal, report: Report, invoice: InvoiceFile) -> None:
    terminal.say(f"{report.lines} lines, {report.matched} matched by {report.by}")
    for currency, share in sorted(report.cost.items()):
        terminal.say(f"capture rate {_percent(share)} of {share.billed / 10**9:.6f} {currency} billed")
    if report.tokens.billed:
        terminal.say(f"capture rate {_percent(report.tokens)} of {report.tokens.billed} tokens billed")
    for number, why in invoice.bad[:SHOWN]:
        terminal.say(f"line {number} was left out: {why}", style="red")
    for title, entries in (
        ("Only the provider has", report.only_provider),
        ("Only the ledger has", report.only_ledger),
        ("Different", report.different),
    ):
        _say_entries(terminal, title, entries)
    _say_exposure(terminal, report)
    if report.unexplained:
        terminal.say(f"{report.unexplained} entries are not explained", style="red")


def _say_entries(terminal: Terminal, title: str, entries: Sequence[dict[str, Any]]) -> None:
    if not entries:
        return
    terminal.say(f"{title}: {len(entries)}")
    for entry in sorted(entries, key=lambda each: each["why"] is not None)[:SHOWN]:
        said = ", ".join(f"{name} {value}" for name, value in entry.items() if name != "why" and value is not None)
        terminal.say(f"  {said}: {entry['why'] or 'NOT EXPLAINED'}", style=None if entry["why"] else "red")


def _say_exposure(terminal: Terminal, report: Report) -> None:
    if report.exposure:
        terminal.say(f"Exposure: {len(report.exposure)} calls of which nothing came back, and which may be billed all the same")
        columns = ("request_id", "attempt", "channel", "model", "started_at", "error_class", "billed_on_line")
        terminal.table(columns, [[entry.get(name) for name in columns] for entry in report.exposure[:SHOWN]])


def _percent(share: Share) -> str:
    return "-" if share.rate is None else f"{share.rate:.2%}"
