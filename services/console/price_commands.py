"""`tollbook prices …`: price books as files, with their difference shown before anything changes, and their dates."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from schemas.envelope import now
from services.console.entities.options import Limit
from services.console.errors import FOUND_WRONG, BadFileError, ConsoleError
from services.console.paging import listed
from services.console.price_routes import mismatches, worth_saying
from services.console.session import Author, Json, Session, Yes, confirm, session_of
from services.console.spoken import SpokenError, duration, instant
from services.console.terminal import Terminal

app = typer.Typer(help="Prices: what a million tokens cost, from when, and in which currency.", no_args_is_help=True)
File = Annotated[Path, typer.Argument(help="A price file (YAML or JSON).", show_default=False)]
Version = Annotated[int | None, typer.Argument(min=1, help="A version; by default the one in force.", show_default=False)]


def _when(text: str | None) -> str | None:
    """A duration counts from now, once for the comparison and the publication; settlement reads everything else."""
    try:
        return None if text is None else instant(text, now()) if duration(text) else text
    except SpokenError:
        return text


From = Annotated[
    str | None,
    typer.Option(
        "--effective-from",
        metavar="TIME",
        callback=_when,
        help="From when, such as 2h (from now), 2026-01-01 (UTC) or 2026-01-01T00:00:00Z, in place of what the file says.",
        show_default=False,
    ),
]
STYLES = {"added": "green", "removed": "red", "changed": "yellow"}
COLUMNS = ("version", "status", "from", "until", "prices", "published", "by", "withdrawn because")


@app.command("list")
def list_prices(context: typer.Context, *, limit: Limit = 100, as_json: Json = False) -> None:
    """List price books, newest version first, with when each counts."""
    session = session_of(context)
    with session.connect("settlement") as settlement:
        found = listed(settlement, "/admin/price-books", limit)
    if as_json:
        session.terminal.json(found)
        return
    session.terminal.table(COLUMNS, [_row(row) for row in found["data"]])


@app.command()
def show(context: typer.Context, version: Version = None, *, as_json: Json = False) -> None:
    """Show one price book: when it counts, and its prices per million tokens."""
    session = session_of(context)
    found = _book(session, version)
    if as_json:
        session.terminal.json(found)
        return
    book = found.pop("book")
    session.terminal.facts(found)
    session.terminal.table(
        ("route type", "model", "currency", "input", "cached input", "cache write", "output"),
        [_price(line) for line in book["prices"]],
    )


@app.command()
def export(
    context: typer.Context,
    version: Version = None,
    *,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write it to this file.")] = None,
    as_json: Json = False,
) -> None:
    """Print a price book as a file that can be applied again: it has the same digest."""
    session = session_of(context)
    found = _book(session, version)
    text = json.dumps(found["book"], indent=2, ensure_ascii=False) + "\n" if as_json else _yaml(found)
    if output is None:
        session.terminal.write(text)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadFileError(f"{output} cannot be written: {error.strerror}") from error
    session.terminal.progress(f"version {found['version']} is in {output}")


@app.command()
def diff(
    context: typer.Context,
    file: Annotated[Path | None, typer.Argument(help="A price file (YAML or JSON).", show_default=False)] = None,
    *,
    beside: Annotated[
        int | None,
        typer.Option(min=1, help="Beside this version, not the one that the file would replace.", show_default=False),
    ] = None,
    to: Annotated[int | None, typer.Option(min=1, help="In place of a file: this version.", show_default=False)] = None,
    effective_from: From = None,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="End with 1 where something differs.")] = False,
    as_json: Json = False,
) -> None:
    """Check a file, and show what it would change; or compare two versions (`--beside 3 --to 4`)."""
    session = session_of(context)
    if (file is None) == (to is None) or (to is not None and beside is None):
        raise typer.BadParameter("give a file, or two versions: --beside 3 --to 4")
    look: list[str] = []
    if file is None:
        with session.connect("settlement") as settlement:
            found = settlement.get("/admin/price-books/diff", before=beside, after=to)
    else:
        found, look = _compared(session, _content(file), effective_from, beside)
    if as_json:
        session.terminal.json(found)
    else:
        _say_changes(session.terminal, found, look)
    if exit_code and found["changes"]:
        raise typer.Exit(FOUND_WRONG)


@app.command()
def apply(
    context: typer.Context,
    file: File,
    *,
    effective_from: From = None,
    author: Author,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Publish a file as the whole price book: shows what changes, asks, and does it only if nothing else changed meanwhile."""
    session = session_of(context)
    content = _content(file)
    found, look = _compared(session, content, effective_from)
    if not as_json:
        _say_changes(session.terminal, found, look)
    if found["changes"]:
        when = f"from {found['effective_from']}" if found["effective_from"] else "now"
        confirm(f"Replace version {found['version']} {when}?", yes=yes)
    with session.connect("settlement") as settlement:
        query = _query(effective_from=effective_from, expected_version=found["version"], author=author)
        done = settlement.send("/admin/price-books", content, "application/yaml", **query)
    if as_json:
        session.terminal.json({**done, "changes": found["changes"], "unmatched": found["unmatched"]})
    else:
        session.terminal.say(_standing(done))


@app.command()
def withdraw(
    context: typer.Context,
    version: Annotated[int, typer.Argument(min=1, help="A version that is not in force yet.", show_default=False)],
    *,
    reason: Annotated[str, typer.Option(help="Why, for the record.", show_default=False)],
    author: Author,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Take back a price book before its date."""
    session = session_of(context)
    confirm(f"Withdraw version {version}?", yes=yes)
    with session.connect("settlement") as settlement:
        done = settlement.post(f"/admin/price-books/{version}/withdraw", {"reason": reason, "author": author})
    if as_json:
        session.terminal.json(done)
    else:
        session.terminal.say(_standing(done))


def _book(session: Session, version: int | None) -> dict[str, Any]:
    with session.connect("settlement") as settlement:
        found: dict[str, Any] = settlement.get(f"/admin/price-books/{version or 'current'}")
    return found


def _content(file: Path) -> bytes:
    try:
        return file.read_text(encoding="utf-8").encode()
    except (OSError, UnicodeDecodeError) as error:
        raise BadFileError(f"{file} cannot be read: {error}") from error


def _compared(
    session: Session, content: bytes, effective_from: str | None, beside: int | None = None
) -> tuple[dict[str, Any], list[str]]:
    """The difference, what routes and prices do not have of each other (None where router cannot say), and words for people."""
    with session.connect("settlement") as settlement:
        query = _query(effective_from=effective_from, beside=beside)
        found: dict[str, Any] = settlement.send("/admin/price-books/diff", content, "application/yaml", **query)
    try:
        with session.connect("router") as router:
            table = router.get("/admin/routes/export")["table"]
    except ConsoleError as error:
        session.terminal.progress(f"not compared with the routes: {error}")
        return {**found, "unmatched": None}, []
    # What settlement took for valid YAML is read here as it reads it.
    prices = yaml.safe_load(content)["prices"]
    changed = {each["id"] for each in found["changes"] if each["kind"] == "price"}
    return {**found, "unmatched": mismatches(prices, table)}, worth_saying(prices, table, changed)


def _query(**named: str | int | None) -> dict[str, str]:
    return {name: str(value) for name, value in named.items() if value is not None}


def _yaml(found: dict[str, Any]) -> str:
    head = f"# Version {found['version']} of the price book, {found['status'].replace('_', ' ')}. Prices per million tokens.\n"
    return head + yaml.safe_dump(found["book"], sort_keys=False, allow_unicode=True, width=200, default_flow_style=None)


def _say_changes(terminal: Terminal, found: dict[str, Any], look: list[str]) -> None:
    if not found["changes"]:
        terminal.say(f"nothing changes: version {found['version']} has the same prices")
    else:
        terminal.say(f"beside version {found['version']}:" if found["version"] else "there is no price book yet:")
    for change in found["changes"]:
        terminal.say(f"{change['change']} {change['kind']} {change['id']}", style=STYLES[change["change"]])
        if change["change"] == "changed":
            for name, values in change["fields"].items():
                terminal.say(f"  {name}: {_shown(values['before'])} -> {_shown(values['after'])}")
    for warning in (*found["warnings"], *look):
        terminal.say(f"look twice: {warning}", style="yellow")
    for each in found.get("scheduled", ()):
        terminal.say(
            f"version {each['version']} is scheduled: it replaces everything at {each['effective_from']}", style="yellow"
        )


def _standing(row: dict[str, Any]) -> str:
    if row["status"] == "scheduled":
        return f"version {row['version']} comes into force at {row['in_force_from']}"
    return f"version {row['version']} is {row['status'].replace('_', ' ')}"


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    return ", ".join(value) if isinstance(value, list) else str(value)


def _row(row: dict[str, Any]) -> tuple[Any, ...]:
    dates = (row["in_force_from"], row["in_force_until"], row["items"], row["published_at"])
    return (row["version"], row["status"].replace("_", " "), *dates, row["author"], row["withdrawn_because"])


def _price(line: dict[str, Any]) -> tuple[Any, ...]:
    cached = (line.get("cached_input") or line["input"], line.get("cache_write") or line["input"])
    return (line["route_type"], line["model"], line["currency"], line["input"], *cached, line["output"])
