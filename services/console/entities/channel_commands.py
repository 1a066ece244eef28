"""`tollbook channels …` and `tollbook catalog …`: where requests may go, one by one; the whole table is `tollbook routes`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer
import yaml

from services.console.completion import ids_of
from services.console.entities.options import Limit, Reason
from services.console.entities.verbs import because
from services.console.errors import BadFileError
from services.console.filling import filled
from services.console.paging import listed
from services.console.session import Author, Json, Session, Yes, confirm, session_of

app = typer.Typer(help="Channels: places where requests may go.", no_args_is_help=True)
catalog_app = typer.Typer(
    help="The catalog: models that may be asked for, and where each may be answered.", no_args_is_help=True
)
CHANNELS = "/admin/channels"
MODELS = "/admin/models"
Channel = Annotated[
    str, typer.Argument(help="The channel's id.", show_default=False, autocompletion=ids_of(CHANNELS, "id", service="router"))
]
Model = Annotated[str, typer.Argument(help="The model's id.", show_default=False)]
File = Annotated[
    Path,
    typer.Argument(
        help="One row as `show --json` prints it, YAML or JSON, or `-` for standard input; ${NAME} is filled in.",
        show_default=False,
    ),
]
Expected = Annotated[
    int | None,
    typer.Option(
        min=0, help="Only in place of this version of the table, so that no other change is lost.", show_default=False
    ),
]


@app.command("list")
def list_channels(context: typer.Context, *, limit: Limit = 500, as_json: Json = False) -> None:
    """List channels: their place, circuit, and whether they are frozen, in the router that answers."""
    session = session_of(context)
    with session.connect("router") as router:
        found = listed(router, CHANNELS, limit)
    if as_json:
        session.terminal.json(found)
        return
    session.terminal.table(
        ("channel", "route type", "brand", "origin", "state", "under way", "why"), [_row(row) for row in found["data"]]
    )


@app.command("show")
def show_channel(context: typer.Context, channel: Channel, *, as_json: Json = False) -> None:
    """Show a channel as it can be put back: a stored key stands as `kept`, by its fingerprint."""
    session = session_of(context)
    with session.connect("router") as router:
        found = router.get(_path(CHANNELS, channel))
    if as_json:
        session.terminal.json(found)
        return
    frozen = found["freeze"]
    session.terminal.facts(
        {
            **found["channel"],
            "table_version": found["table_version"],
            "out_of_service": found["fault"] if found["out_of_service"] else None,
            "frozen": frozen
            and f"by {frozen['author']} since {frozen['changed_at']}, {frozen['reason'] or 'without a reason'}",
        }
    )


@app.command()
def freeze(context: typer.Context, channel: Channel, *, reason: Reason = None, author: Author, as_json: Json = False) -> None:
    """Take a channel out of use at once, on every instance, whatever table is in force or comes."""
    _decide(session_of(context), channel, "freeze", because(author, reason), as_json=as_json)


@app.command()
def unfreeze(context: typer.Context, channel: Channel, *, reason: Reason = None, author: Author, as_json: Json = False) -> None:
    """Let a frozen channel be used again."""
    _decide(session_of(context), channel, "unfreeze", because(author, reason), as_json=as_json)


@app.command("put")
def put_channel(context: typer.Context, file: File, *, expected_version: Expected = None, as_json: Json = False) -> None:
    """Put one channel in force, a new one or in place of the one of its id. Every other row stays."""
    _put(session_of(context), CHANNELS, "channel", file, expected_version, as_json=as_json)


@app.command("remove")
def remove_channel(context: typer.Context, channel: Channel, *, yes: Yes = False, as_json: Json = False) -> None:
    """Take a channel out of the table, with its stored key. One that a model's candidates name stays."""
    confirm(f"Take the channel {channel} out of the table, and forget its key?", yes=yes)
    _remove(session_of(context), CHANNELS, channel, as_json=as_json)


@catalog_app.command("list")
def list_models(context: typer.Context, *, limit: Limit = 500, as_json: Json = False) -> None:
    """List models and their places, by id."""
    session = session_of(context)
    with session.connect("router") as router:
        found = listed(router, MODELS, limit)
    if as_json:
        session.terminal.json(found)
        return
    session.terminal.table(
        ("model", "mode", "strategy", "answered by"),
        [
            (
                row["model"]["id"], row["model"].get("mode", "chat"), row["model"].get("strategy"),
                ", ".join(each["channel"] for each in row["model"]["candidates"]),
            )
            for row in found["data"]
        ],
    )  # fmt: skip


@catalog_app.command("show")
def show_model(context: typer.Context, model: Model, *, as_json: Json = False) -> None:
    """Show a model with its candidates."""
    session = session_of(context)
    with session.connect("router") as router:
        found = router.get(_path(MODELS, model))
    if as_json:
        session.terminal.json(found)
        return
    row = found["model"]
    session.terminal.facts({name: value for name, value in row.items() if name != "candidates"})
    session.terminal.table(
        ("channel", "upstream model", "priority", "weight"),
        [(each["channel"], each["upstream_model"], each.get("priority"), each.get("weight")) for each in row["candidates"]],
    )


@catalog_app.command("put")
def put_model(context: typer.Context, file: File, *, expected_version: Expected = None, as_json: Json = False) -> None:
    """Put one model in force, a new one or in place of the one of its id. Every other row stays."""
    _put(session_of(context), MODELS, "model", file, expected_version, as_json=as_json)


@catalog_app.command("remove")
def remove_model(context: typer.Context, model: Model, *, yes: Yes = False, as_json: Json = False) -> None:
    """Take a model out of the table: nobody may ask for it any more."""
    confirm(f"Take the model {model} out of the table?", yes=yes)
    _remove(session_of(context), MODELS, model, as_json=as_json)


def _path(path: str, entity_id: str) -> str:
    return f"{path}/{quote(entity_id, safe='/')}"


def _decide(session: Session, channel: str, verb: str, body: dict[str, Any], *, as_json: bool) -> None:
    with session.connect("router") as router:
        done = router.post(f"{_path(CHANNELS, channel)}/{verb}", body)
    if as_json:
        session.terminal.json(done)
    else:
        session.terminal.say(f"{channel} is {'frozen: requests pass it over' if done['frozen'] else 'in use again'}")


def _put(session: Session, path: str, kind: str, file: Path, expected: int | None, *, as_json: bool) -> None:
    row = _read(file, session.names())
    row = row.get(kind, row)
    if not isinstance(row, dict) or not isinstance(row.get("id"), str):
        raise BadFileError(f"{file} holds no {kind} with an id: `show --json` prints one as it has to be")
    with session.connect("router") as router:
        done = router.change("PUT", _path(path, row["id"]), row, expected_version=expected)
    _say(session, done, f"{kind} {row['id']} is in force", as_json=as_json)


def _remove(session: Session, path: str, entity_id: str, *, as_json: bool) -> None:
    with session.connect("router") as router:
        done = router.change("DELETE", _path(path, entity_id))
    _say(session, done, f"{entity_id} is no longer in the table", as_json=as_json)


def _say(session: Session, done: dict[str, Any], what: str, *, as_json: bool) -> None:
    if as_json:
        session.terminal.json(done)
        return
    session.terminal.say(f"{what}, in version {done['version']}")
    for fault in done.get("faults", []):
        state = "is out of service" if fault.get("out_of_service") else "has a key that cannot be used"
        session.terminal.say(f"channel {fault['channel']} {state}: {fault['reason']}", style="red")


def _read(file: Path, names: Mapping[str, str]) -> dict[str, Any]:
    try:
        found = yaml.safe_load(filled(file, names))
    except yaml.YAMLError as error:
        raise BadFileError(f"{file} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise BadFileError(f"{file} holds no row: `show --json` prints one as it has to be")
    return found


def _row(row: dict[str, Any]) -> tuple[Any, ...]:
    state = "frozen" if row["frozen"] else "out of service" if row["out_of_service"] else f"circuit {row['circuit']}"
    why = row["freeze"]["reason"] if row["frozen"] else row["fault"]
    return (row["id"], row["route_type"], row["brand"], row["origin"], state, row["in_flight"], why)
