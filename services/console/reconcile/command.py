"""`tollbook reconcile FILE --provider NAME`: what a provider bills against what the ledger has."""

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from services.console.errors import FOUND_WRONG, BadFileError
from services.console.reconcile.invoice import FORMATS, BadRowError, Line, instant, said
from services.console.reconcile.invoice_file import FIELDS, InvoiceFile, columns_of, read_invoice
from services.console.reconcile.ledger_side import read_ledger
from services.console.reconcile.matching import Report, Share, match_days, match_lines
from services.console.reconcile.sample import SAMPLE
from services.console.reconcile.words import say, say_absent
from services.console.session import Json, session_of

MARGIN = timedelta(hours=1)


def _print_sample(wanted: bool) -> None:
    if wanted:
        typer.echo(SAMPLE, nl=False)
        raise typer.Exit


def reconcile(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="The provider's export, CSV in UTF-8.", show_default=False)],
    *,
    provider: Annotated[
        str,
        typer.Option(
            help="The provider: the brand of its channels in the route table (openai, anthropic, …). Also the format of its "
            f"export where that is known ({', '.join(FORMATS)}); any other CSV is read as generic."
        ),
    ],
    channel: Annotated[list[str] | None, typer.Option(help="Only these channels; may be repeated.")] = None,
    form: Annotated[
        str | None, typer.Option("--format", help=f"The export's format: {', '.join(FORMATS)}; by default the provider's.")
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FIELD=NAME",
            help=f"What the file calls a field; may be repeated. The fields are {', '.join(FIELDS)}.",
        ),
    ] = None,
    currency: Annotated[str | None, typer.Option(help="Of costs that the file gives no currency for.")] = None,
    since: Annotated[str | None, typer.Option(help="The period's begin; by default the first line's.")] = None,
    until: Annotated[str | None, typer.Option(help="The period's end; by default the last line's.")] = None,
    by: Annotated[
        Literal["reply", "day"] | None,
        typer.Option(
            help="Match single replies by their ids, or sums of days and models; by default by ids where the file has any."
        ),
    ] = None,
    _sample: Annotated[
        bool, typer.Option("--sample", is_eager=True, callback=_print_sample, help="Print a sample export, and nothing else.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Compare a provider's invoice or usage export with the ledger, and say how much of it the ledger has."""
    session = session_of(context)
    if form is not None and form not in FORMATS:
        raise typer.BadParameter(f"there is no format {form!r}: the formats are {', '.join(FORMATS)}")
    invoice = read_invoice(file, columns_of(form or provider, _named(column or []), currency))
    if by == "reply" and not invoice.has_ids:
        raise BadFileError(f"{file} has no column of ids: name it with --column ids=NAME, or match --by day")
    days = by == "day" or not invoice.has_ids
    begin, end = _period(file, invoice.lines, since, until, days=days)
    with session.connect("settlement") as settlement, session.terminal.working("reading the ledger", quiet=as_json) as bar:
        ledger = read_ledger(settlement, begin - MARGIN, end + MARGIN, channels=channel or [], brand=provider, news=bar.news)
    if not ledger.attempts and not channel:
        say_absent(session.terminal, provider, ledger.brands)
    report = (match_days if days else match_lines)(invoice.lines, ledger, begin, end)
    if not (days or report.matched) and ledger.attempts:
        session.terminal.error(
            "None of the file's ids is that of a reply in the ledger: --by day compares sums of days and models."
        )
    if as_json:
        session.terminal.json(_document(report, invoice, begin, end))
    else:
        say(session.terminal, report, invoice)
    if report.unexplained or invoice.bad:
        raise typer.Exit(FOUND_WRONG)


def _named(columns: Sequence[str]) -> dict[str, str]:
    pairs = [each.partition("=") for each in columns]
    if any(not name or not value for name, _, value in pairs):
        raise typer.BadParameter("write --column FIELD=NAME, such as --column cost=Amount")
    return {name: value for name, _, value in pairs}


def _period(
    file: Path, lines: Sequence[Line], since: str | None, until: str | None, *, days: bool
) -> tuple[datetime, datetime]:
    """The given period, or that of the lines; sums of `days` are compared with whole days."""
    if not lines:
        raise BadFileError(f"{file} has no line that could be used")
    try:
        begin, end = instant(since or ""), instant(until or "")
    except BadRowError as error:
        raise typer.BadParameter(str(error)) from error
    midnight = datetime.combine(min(line.day for line in lines), time.min, UTC)
    day_end = datetime.combine(max(line.day for line in lines), time.max, UTC)
    instants = [line.at for line in lines if line.at is not None]
    if days or len(instants) < len(lines) or instants[0].time() == time.min:
        return begin or midnight, end or day_end
    first, last = min(instants), max(instants)
    return begin or first, end or last


def _document(report: Report, invoice: InvoiceFile, begin: datetime, end: datetime) -> dict[str, Any]:
    return {
        "matched_by": report.by,
        "since": said(begin),
        "until": said(end),
        "lines": report.lines,
        "matched": report.matched,
        "unused_columns": list(invoice.unused),
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
