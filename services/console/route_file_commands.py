"""`tollbook routes …`: the route table as a file, with its difference shown before anything changes."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from services.console.errors import FOUND_WRONG, BadFileError
from services.console.filling import filled
from services.console.session import Json, Session, session_of
from services.console.terminal import Terminal, json_text

app = typer.Typer(help="The route table: models, channels and how they are chosen.", no_args_is_help=True)
File = Annotated[Path, typer.Argument(help="A route table (YAML or JSON); ${NAME} is filled in from the environment.")]
STYLES = {"added": "green", "removed": "red", "changed": "yellow"}
CHANNEL_COLUMNS = ("channel", "circuit", "keys resting", "under way", "limits", "of late", "answered", "failed", "last failure")


@app.command()
def export(
    context: typer.Context,
    *,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write it to this file.")] = None,
    as_json: Json = False,
) -> None:
    """Print the table in force as a file that can be applied again.

    Secrets stay where they are: a stored one stands as `kept`, by its fingerprint, and applying the file leaves it as it is.
    """
    session = session_of(context)
    with session.connect("router") as router:
        found = router.get("/admin/routes/export")
    text = json_text(found["table"], indent=2) if as_json else _yaml(found)
    if output is None:
        session.terminal.say(text.rstrip("\n"))
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadFileError(f"{output} cannot be written: {error.strerror}") from error
    session.terminal.progress(f"version {found['version']} is in {output}")


@app.command()
def diff(
    context: typer.Context,
    file: File,
    *,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="End with 1 where the file would change something.")] = False,
    as_json: Json = False,
) -> None:
    """Check a file, and show what it would change of the table in force."""
    session = session_of(context)
    found = _compared(session, filled(file, session.names()).encode())
    if as_json:
        session.terminal.json(found)
    else:
        _say_changes(session.terminal, found)
    if exit_code and found["changes"]:
        raise typer.Exit(FOUND_WRONG)


@app.command("import", help="The same as apply.")
@app.command()
def apply(
    context: typer.Context,
    file: File,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Put a file in force as the whole table: shows what changes, asks, and does it only if nothing else changed meanwhile."""
    session = session_of(context)
    content = filled(file, session.names()).encode()
    found = _compared(session, content)
    if not as_json:
        _say_changes(session.terminal, found)
    if not yes and found["changes"]:
        if not sys.stdin.isatty():
            raise BadFileError(f"nobody is here to ask whether {file} may replace the table: give --yes")
        typer.confirm(f"Replace version {found['version']}?", abort=True, err=True)
    with session.connect("router") as router:
        done = router.send("/admin/routes", content, "application/yaml", expected_version=str(found["version"]))
    if as_json:
        session.terminal.json({**found, **done})
        return
    session.terminal.say(f"version {done['version']} is in force")
    for fault in done.get("faults", []):
        what = "is out of service" if fault["out_of_service"] else "has a key that cannot be used"
        session.terminal.say(f"channel {fault['channel']} {what}: {fault['reason']}", style="red")


@app.command()
def channels(context: typer.Context, *, as_json: Json = False) -> None:
    """Show how each channel is doing, in the router that answers."""
    session = session_of(context)
    with session.connect("router") as router:
        found = router.get("/admin/channels")
    if as_json:
        session.terminal.json(found)
        return
    session.terminal.table(CHANNEL_COLUMNS, [_channel_row(row) for row in found["data"]])


def _compared(session: Session, content: bytes) -> dict[str, Any]:
    with session.connect("router") as router:
        found: dict[str, Any] = router.send("/admin/routes/diff", content, "application/yaml")
    return found


def _yaml(found: dict[str, Any]) -> str:
    head = (
        f"# Version {found['version']} of the route table. `kept` is a stored secret by its fingerprint, and stays as it is.\n"
    )
    return head + yaml.safe_dump(found["table"], sort_keys=False, allow_unicode=True, width=160, default_flow_style=None)


def _say_changes(terminal: Terminal, found: dict[str, Any]) -> None:
    if not found["changes"]:
        terminal.say(f"nothing changes: version {found['version']} is the same table")
        return
    terminal.say(f"beside version {found['version']}:")
    for change in found["changes"]:
        terminal.say(f"{change['change']} {change['kind']} {change['id']}", style=STYLES[change["change"]])
        if change["change"] == "changed":
            for name, values in change["fields"].items():
                terminal.say(f"  {name}: {_shown(values['before'])} -> {_shown(values['after'])}")


def _shown(value: Any) -> str:
    return "nothing" if value is None else json.dumps(value, ensure_ascii=False)


def _channel_row(row: dict[str, Any]) -> tuple[Any, ...]:
    limits = [f"{name} {use['used']}/{use['limit']}" for name, use in row["limits"].items() if use["limit"] is not None]
    late = [f"{each['upstream_model']} {each['of']} {each['recent_ms']:.0f} ms" for each in row["latency"]]
    circuit = "out of service" if row.get("out_of_service") else row["circuit"]
    keys = f"{row['keys_resting']} of {row['keys']}"
    counts = (row["successes"], row["failures"], row["last_error_class"])
    return (row["id"], circuit, keys, row["in_flight"], ", ".join(limits), ", ".join(late), *counts)
