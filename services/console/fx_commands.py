"""`tollbook fx …`: the exchange rates that reports are made with. No hold and no charge ever uses one."""

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from services.console.entities.options import Limit
from services.console.errors import BadFileError
from services.console.paging import listed, rows
from services.console.session import Author, Json, Session, Yes, confirm, session_of

app = typer.Typer(help="Exchange rates by day, for margin reports alone: nobody is charged by them.", no_args_is_help=True)
FIELDS = ("from", "to", "date", "rate", "source")
AT_ONCE = 1000
FromOption = Annotated[str | None, typer.Option("--from", metavar="CURRENCY", help="Only from this currency.")]
ToOption = Annotated[str | None, typer.Option("--to", metavar="CURRENCY", help="Only to this currency.")]
Since = Annotated[str | None, typer.Option(metavar="YYYY-MM-DD", help="From this day on.")]
Until = Annotated[str | None, typer.Option(metavar="YYYY-MM-DD", help="To this day.")]


@app.command("set")
def set_rate(
    context: typer.Context,
    from_currency: Annotated[str, typer.Argument(metavar="FROM", help="Such as CNY.", show_default=False)],
    to_currency: Annotated[str, typer.Argument(metavar="TO", help="Such as USD.", show_default=False)],
    rate: Annotated[str, typer.Argument(help="What one unit of FROM is worth in TO, such as 0.1389.", show_default=False)],
    day: Annotated[
        str | None,
        typer.Option("--date", metavar="YYYY-MM-DD", help="Of which day; by default today, in UTC.", show_default=False),
    ] = None,
    *,
    source: Annotated[str, typer.Option(help="Who says so.", show_default=False)],
    author: Author,
    as_json: Json = False,
) -> None:
    """Set the rate of a day; an earlier one of that day is kept as history."""
    session = session_of(context)
    row = {"from": from_currency, "to": to_currency, "date": day or _today(), "rate": rate, "source": source}
    done = _send(session, [row], author)
    if as_json:
        session.terminal.json({**done, "data": [row]})
        return
    state = "set" if done["set"] else "was set already"
    session.terminal.say(f"1 {from_currency} = {rate} {to_currency} on {row['date']}: {state}")


@app.command("list")
def list_rates(
    context: typer.Context,
    from_currency: FromOption = None,
    to_currency: ToOption = None,
    since: Since = None,
    until: Until = None,
    *,
    history: Annotated[bool, typer.Option("--history", help="Also what was superseded.")] = False,
    limit: Limit = 100,
    as_json: Json = False,
) -> None:
    """List rates, the last set first."""
    session = session_of(context)
    query = {"from": from_currency, "to": to_currency, "since": since, "until": until, "history": history or None}
    with session.connect("settlement") as settlement:
        found = listed(settlement, "/admin/fx-rates", limit, **query)
    if as_json:
        session.terminal.json(found)
        return
    session.terminal.table(
        ("date", "from", "to", "rate", "source", "set by", "set at", "superseded at"),
        [
            tuple(row[name] for name in ("date", *FIELDS[:2], "rate", "source", "author", "set_at", "superseded_at"))
            for row in found["data"]
        ],
    )


@app.command("import")
def import_rates(
    context: typer.Context,
    file: Annotated[
        Path, typer.Argument(help="A CSV file with the columns from, to, date, rate and source.", show_default=False)
    ],
    *,
    source: Annotated[
        str | None, typer.Option(help="Who says so, where the file has no such column.", show_default=False)
    ] = None,
    author: Author,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Set the rates of a file; those that are so already change nothing, so that importing again is safe."""
    session = session_of(context)
    found = _read(file, source)
    confirm(f"Set {len(found)} rates of {file}?", yes=yes)
    done = {"set": 0, "unchanged": 0}
    for start in range(0, len(found), AT_ONCE):
        part = _send(session, found[start : start + AT_ONCE], author)
        done = {name: done[name] + part[name] for name in done}
        session.terminal.progress(f"{min(start + AT_ONCE, len(found))} of {len(found)}")
    if as_json:
        session.terminal.json(done)
    else:
        session.terminal.say(f"{done['set']} set, {done['unchanged']} were so already")


@app.command("export")
def export_rates(
    context: typer.Context,
    from_currency: FromOption = None,
    to_currency: ToOption = None,
    since: Since = None,
    until: Until = None,
    *,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write it to this file.")] = None,
    as_json: Json = False,
) -> None:
    """Print the rates in force as a CSV file that can be imported again."""
    session = session_of(context)
    query = {"from": from_currency, "to": to_currency, "since": since, "until": until}
    with session.connect("settlement") as settlement:
        found = [{name: row[name] for name in FIELDS} for row in rows(settlement, "/admin/fx-rates", **query)]
    found.sort(key=lambda row: (row["date"], row["from"], row["to"]))
    if as_json:
        session.terminal.json({"object": "list", "data": found})
        return
    text = written(FIELDS, found)
    if output is None:
        session.terminal.write(text)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadFileError(f"{output} cannot be written: {error.strerror}") from error
    session.terminal.progress(f"{len(found)} rates are in {output}")


def written(fields: tuple[str, ...], found: list[dict[str, Any]]) -> str:
    """Rows as CSV under their names. A text that a spreadsheet would take for a formula begins with an apostrophe."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fields, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _harmless(row.get(name)) for name in fields} for row in found)
    return text.getvalue()


def _harmless(value: Any) -> Any:
    if value is None:
        return ""
    text = str(value)
    numeric = text.removeprefix("-").replace(".", "", 1).isdigit()
    return f"'{text}" if isinstance(value, str) and text[:1] in {"=", "+", "-", "@", "\t", "\r"} and not numeric else value


def _today() -> str:
    return datetime.now(UTC).date().isoformat()


def _send(session: Session, found: list[dict[str, Any]], author: str) -> dict[str, Any]:
    with session.connect("settlement") as settlement:
        done: dict[str, Any] = settlement.post("/admin/fx-rates", {"rates": found, "author": author})
    return done


def _read(file: Path, source: str | None) -> list[dict[str, Any]]:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BadFileError(f"{file} cannot be read: {error}") from error
    return list(_lines(file, csv.DictReader(io.StringIO(text), strict=True), source))


def _lines(file: Path, reader: "csv.DictReader[str]", source: str | None) -> Iterator[dict[str, Any]]:
    needed = [name for name in FIELDS if name != "source" or source is None]
    missing = [name for name in needed if name not in (reader.fieldnames or ())]
    if missing:
        raise BadFileError(f"{file}, line 1: the columns {', '.join(missing)} are missing: name them in the first line")
    try:
        for row in reader:
            said = {name: (row.get(name) or "").strip() for name in FIELDS}
            said["source"] = said["source"] or source or ""
            empty = [name for name, value in said.items() if not value]
            if empty or None in row:
                what = f"{', '.join(empty)} is empty" if empty else "has more fields than the first line"
                raise BadFileError(f"{file}, line {reader.line_num}: {what}")
            yield said
    except csv.Error as error:
        raise BadFileError(f"{file}, line {reader.line_num + 1}: {error}") from error
