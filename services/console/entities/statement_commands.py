"""`tollbook statements get`: a month of an account, from the ledger."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from schemas.envelope import now
from services.console.entities.money import money
from services.console.entities.naming import account_of
from services.console.entities.options import Account, MaybeBucket
from services.console.errors import BadFileError
from services.console.session import Json, Session, session_of
from services.console.spoken import SpokenError

app = typer.Typer(help="Statements: an account's month, from balance to balance.", no_args_is_help=True)
Month = Annotated[str | None, typer.Argument(metavar="[YYYY-MM]", help="By default this month.", show_default=False)]
FORMATS = ("text", "json", "csv", "pdf")


@app.command()
def get(
    context: typer.Context,
    month: Month = None,
    *,
    account: Account = None,
    bucket: MaybeBucket = None,
    format_: Annotated[str, typer.Option("--format", "-f", help="text, json, csv or pdf.")] = "text",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write it to this file.", show_default=False)] = None,
    as_json: Json = False,
) -> None:
    """Get a statement, to read or as a file: opening balance, every movement, closing balance of each bucket."""
    session = session_of(context)
    form = "json" if as_json else format_
    if form not in FORMATS:
        raise SpokenError(f"--format {format_!r}: write one of {', '.join(FORMATS)}")
    if form == "pdf" and output is None and sys.stdout.isatty():
        raise SpokenError("a PDF is no text for a terminal: give --output FILE")
    with session.terminal.working("adding the statement up", quiet=as_json or output is None):
        content = statement_of(session, account, month, bucket, "json" if form == "text" else form)
    if form == "text" and output is None:
        _say(session, json.loads(content))
    elif form == "text":
        raise SpokenError("text is for the terminal: give --format json, csv or pdf with --output")
    elif output is None:
        sys.stdout.flush()
        sys.stdout.buffer.write(content)
    else:
        _write(output, content)
        session.terminal.progress(f"the statement is in {output}")


def statement_of(session: Session, account: str | None, month: str | None, bucket: str | None, form: str) -> bytes:
    """The account's statement of a month, this one where none is named, in a form that settlement has."""
    with session.connect("edge") as edge:
        holder = account_of(session, edge, account)
    with session.connect("settlement") as settlement:
        query = {"format": form} | ({"bucket": bucket} if bucket else {})
        return settlement.read(f"/admin/accounts/{holder}/statements/{month or now().strftime('%Y-%m')}", **query)


def _say(session: Session, statement: dict[str, Any]) -> None:
    so_far = "" if statement["complete"] else f", up to {statement['generated_at']}"
    session.terminal.say(f"{statement['account_id']}, {statement['month']}{so_far}")
    for bucket in statement["buckets"]:
        session.terminal.say("")
        rows = [("opening balance", "", money(bucket["opening_nano"], bucket["currency"]))]
        rows += [
            (
                line["kind"].replace("_", " "),
                " ".join(
                    filter(
                        None, (line["date"], line["model"], line["key_name"] or line["key_id"], line["text"], line["reference"])
                    )
                ),
                money(line["amount_nano"], bucket["currency"]),
            )
            for line in bucket["lines"]
        ]
        rows += [("closing balance", "", money(bucket["closing_nano"], bucket["currency"]))]
        session.terminal.table((bucket["bucket"], "", ""), rows)


def _write(output: Path, content: bytes) -> None:
    try:
        output.write_bytes(content)
    except OSError as error:
        raise BadFileError(f"{output} cannot be written: {error.strerror}") from error
