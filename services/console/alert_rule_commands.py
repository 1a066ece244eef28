"""`tollbook alerts rules …`: the alert rules as a file, with its difference shown before anything changes."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from services.console.errors import FOUND_WRONG, BadFileError
from services.console.session import Json, Session, session_of
from services.console.terminal import Terminal

PATH = "/admin/alert-rules"
app = typer.Typer(help="The alert rules: what is watched, above what it fires, and who hears of it.", no_args_is_help=True)
File = Annotated[Path, typer.Argument(help="A rule file (YAML or JSON); `-` is standard input.")]
VERSION = typer.Option("--version", help="By default the one in force.", show_default=False, min=1)
STYLES = {"added": "green", "removed": "red", "changed": "yellow"}
COLUMNS = ("rule", "signal", "severity", "floor", "for", "keep", "action", "notify", "overrides")


@app.command()
def show(context: typer.Context, *, version: Annotated[int | None, VERSION] = None, as_json: Json = False) -> None:
    """Show the rules in force, or those of a version."""
    session = session_of(context)
    found = _version(session, version)
    if as_json:
        session.terminal.json(found)
        return
    if not found["version"]:
        session.terminal.say("No rules are in force yet: tollbook alerts rules apply deploy/catalog/alerts.yaml")
        return
    session.terminal.say(f"version {found['version']}, applied {found['applied_at']} by {found['author']}")
    session.terminal.table(COLUMNS, [_row(rule) for rule in found["rules"]["rules"]])
    for name, receiver in sorted(found["rules"]["receivers"].items()):
        session.terminal.say(f"receiver {name}: {receiver['kind']}")


@app.command()
def export(
    context: typer.Context,
    *,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write it to this file.")] = None,
    version: Annotated[int | None, VERSION] = None,
    as_json: Json = False,
) -> None:
    """Print the file in force, or that of a version, as it was applied."""
    session = session_of(context)
    found = _version(session, version)
    if as_json:
        session.terminal.json(found)
        return
    if output is None:
        session.terminal.write(found["file"])
        return
    try:
        output.write_text(found["file"], encoding="utf-8")
    except OSError as error:
        raise BadFileError(f"{output} cannot be written: {error.strerror}") from error
    session.terminal.progress(f"version {found['version']} is in {output}")


@app.command()
def versions(context: typer.Context, *, as_json: Json = False) -> None:
    """List the versions, the last first."""
    session = session_of(context)
    with session.connect("analytics") as analytics:
        found = analytics.get(f"{PATH}/versions", limit=500)
    if as_json:
        session.terminal.json(found)
        return
    rows = [(row["version"], row["applied_at"], row["author"], row["sha256"][:12]) for row in found["data"]]
    session.terminal.table(("version", "applied", "by", "sha256"), rows)


@app.command()
def diff(
    context: typer.Context,
    file: File,
    *,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="End with 1 where the file would change something.")] = False,
    as_json: Json = False,
) -> None:
    """Check a file, and show what it would change of the rules in force."""
    session = session_of(context)
    found = _compared(session, content_of(file))
    if as_json:
        session.terminal.json(found)
    else:
        _say_changes(session.terminal, found)
    if exit_code and found["changes"]:
        raise typer.Exit(FOUND_WRONG)


@app.command()
def apply(
    context: typer.Context,
    file: File,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Put a file in force as all the rules: shows what changes, asks, and does it only if nothing else changed meanwhile."""
    session = session_of(context)
    content = content_of(file)
    found = _compared(session, content)
    if not as_json:
        _say_changes(session.terminal, found)
    if not yes and found["changes"]:
        if not sys.stdin.isatty():
            raise BadFileError(f"nobody is here to ask whether {file} may replace the rules: give --yes")
        typer.confirm(f"Replace version {found['version']}?", abort=True, err=True)
    with session.connect("analytics") as analytics:
        expected = str(found["version"])
        done = analytics.send(PATH, content, "application/yaml", method="PUT", expected_version=expected)
    if as_json:
        session.terminal.json({**found, **done})
        return
    session.terminal.say(f"version {done['version']} is in force")


def content_of(file: Path) -> bytes:
    """The file's bytes as they are: a receiver's secret is named in it and read by analytics, so nothing is filled in."""
    try:
        return sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise BadFileError(f"{file} cannot be read: {error.strerror}") from error


def _version(session: Session, version: int | None) -> dict[str, Any]:
    with session.connect("analytics") as analytics:
        found: dict[str, Any] = analytics.get(PATH if version is None else f"{PATH}/versions/{version}")
    return found


def _compared(session: Session, content: bytes) -> dict[str, Any]:
    with session.connect("analytics") as analytics:
        found: dict[str, Any] = analytics.send(f"{PATH}/diff", content, "application/yaml")
    return found


def _say_changes(terminal: Terminal, found: dict[str, Any]) -> None:
    if not found["changes"]:
        terminal.say(f"nothing changes: version {found['version']} says the same")
        return
    terminal.say(f"beside version {found['version']}:")
    for change in found["changes"]:
        terminal.say(f"{change['change']} {change['kind']} {change['id']}", style=STYLES[change["change"]])
        for name, values in change["fields"].items():
            terminal.say(f"  {name}: {_shown(values['before'])} -> {_shown(values['after'])}")


def _shown(value: Any) -> str:
    return "nothing" if value is None else json.dumps(value, ensure_ascii=False)


def _row(rule: dict[str, Any]) -> tuple[Any, ...]:
    floor = rule["floor"]
    amounts = " ".join(f"{amount} {currency}" for currency, amount in floor.items()) if isinstance(floor, dict) else floor
    state = rule["id"] if rule["enabled"] else f"{rule['id']} (off)"
    waits = (rule["for"], rule["keep"])
    return (
        state,
        rule["signal"],
        rule["severity"],
        amounts,
        *waits,
        rule["action"],
        ", ".join(rule["notify"]),
        len(rule["overrides"]),
    )
