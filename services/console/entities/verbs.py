"""What can be done to accounts, projects and keys alike: show, freeze, unfreeze, policy, history."""

from typing import Annotated, Any

import typer

from services.console.completion import ids_of
from services.console.entities.instants import when
from services.console.entities.naming import Kind, id_of, path_of
from services.console.entities.options import Limit, Reason
from services.console.entities.pace import Rpm, Tpm, pace
from services.console.entities.policy_words import (
    Attempts,
    ChargeFailed,
    CrossBucket,
    Fallback,
    Models,
    RestartStreams,
    Routes,
    StoreReplies,
    policy_of,
)
from services.console.paging import listed
from services.console.session import Author, Json, Session, session_of
from services.console.spoken import SpokenError

FIRST = ("account_id", "project_id", "key_id", "name", "environment")


def named(kind: Kind) -> Any:
    """The argument that names one entity."""
    return typer.Argument(
        metavar=kind.word.upper(),
        help=f"The {kind.word}, by id or name.",
        show_default=False,
        autocompletion=ids_of(kind.path, kind.id_field),
    )


def say_entity(session: Session, entity: dict[str, Any], *, as_json: bool) -> None:
    """One entity, for programs or for people."""
    if as_json:
        session.terminal.json(entity)
        return
    hidden = {"object", "version", "frozen", "revoked"}
    first = [name for name in FIRST if name in entity]
    rest = [name for name in entity if name not in {*first, *hidden}]
    session.terminal.facts(
        {**{name: entity[name] for name in first}, "state": state_of(entity)} | {name: entity[name] for name in rest}
    )


def _say_done(session: Session, kind: Kind, entity: dict[str, Any], *, as_json: bool) -> None:
    """What a freeze or unfreeze changed, and the entity afterwards."""
    if not as_json:
        what = "is frozen: its requests are refused" if entity.get("frozen") else "is no longer frozen"
        session.terminal.say(f"{kind.word} {entity['name']} ({entity[kind.id_field]}) {what}")
    say_entity(session, entity, as_json=as_json)


def state_of(entity: dict[str, Any]) -> str:
    """Whether it may be used."""
    if entity.get("revoked"):
        return "revoked"
    return "frozen" if entity.get("frozen") else "active"


def add_verbs(app: typer.Typer, kind: Kind) -> None:
    """Add the commands of one kind to its group."""
    _add_show(app, kind)
    _add_rename(app, kind)
    _add_freeze(app, kind)
    _add_policy(app, kind)
    _add_changes(app, kind)


def add_pace(app: typer.Typer, kind: Kind) -> None:
    """Add the command that changes requests and tokens per minute; a key's changes more, and is its own."""

    @app.command("set", help=f"Change the requests and tokens per minute of {_a(kind)}. What is not given stays as it is.")
    def set_pace(
        context: typer.Context,
        name: Annotated[str, named(kind)],
        *,
        rpm: Rpm = None,
        tpm: Tpm = None,
        reason: Reason = None,
        author: Author,
        as_json: Json = False,
    ) -> None:
        fields = pace(rpm, tpm)
        if not fields:
            raise SpokenError("give what is to change: --rpm or --tpm")
        session = session_of(context)
        say_entity(session, patch(session, kind, name, fields | because(author, reason)), as_json=as_json)


def act(session: Session, kind: Kind, name: str, verb: str, body: dict[str, Any]) -> dict[str, Any]:
    """Do something to one entity, and give what it is afterwards."""
    with session.connect("edge") as edge:
        done: dict[str, Any] = edge.post(path_of(kind, id_of(edge, kind, name), verb), body)
    return done


def patch(session: Session, kind: Kind, name: str, fields: dict[str, Any]) -> dict[str, Any]:
    """Change some fields of one entity, and give what it is afterwards."""
    with session.connect("edge") as edge:
        done: dict[str, Any] = edge.change("PATCH", path_of(kind, id_of(edge, kind, name)), fields)
    return done


def because(author: str, reason: str | None) -> dict[str, Any]:
    """Who does it and why, as edge takes it."""
    return {"author": author, "reason": reason}


def _add_show(app: typer.Typer, kind: Kind) -> None:
    @app.command(help=f"Show {_a(kind)} with its policy, and what that comes to under those around it.")
    def show(context: typer.Context, name: Annotated[str, named(kind)], *, as_json: Json = False) -> None:
        session = session_of(context)
        with session.connect("edge") as edge:
            entity = edge.get(path_of(kind, id_of(edge, kind, name)))
        say_entity(session, entity, as_json=as_json)


def _add_rename(app: typer.Typer, kind: Kind) -> None:
    @app.command(help=f"Give {_a(kind)} another name.")
    def rename(
        context: typer.Context,
        name: Annotated[str, named(kind)],
        to: Annotated[str, typer.Argument(metavar="NEW_NAME", show_default=False)],
        *,
        reason: Reason = None,
        author: Author,
        as_json: Json = False,
    ) -> None:
        session = session_of(context)
        say_entity(session, patch(session, kind, name, {"name": to, **because(author, reason)}), as_json=as_json)


def _add_freeze(app: typer.Typer, kind: Kind) -> None:
    @app.command(help=f"Freeze {_a(kind)}: its requests are refused at once, everywhere, until it is unfrozen.")
    def freeze(
        context: typer.Context,
        name: Annotated[str, named(kind)],
        *,
        reason: Reason = None,
        author: Author,
        as_json: Json = False,
    ) -> None:
        session = session_of(context)
        _say_done(session, kind, act(session, kind, name, "freeze", because(author, reason)), as_json=as_json)

    @app.command(help=f"Let a frozen {kind.word} work again.")
    def unfreeze(
        context: typer.Context,
        name: Annotated[str, named(kind)],
        *,
        reason: Reason = None,
        author: Author,
        as_json: Json = False,
    ) -> None:
        session = session_of(context)
        _say_done(session, kind, act(session, kind, name, "unfreeze", because(author, reason)), as_json=as_json)


def _add_policy(app: typer.Typer, kind: Kind) -> None:
    @app.command(help=f"Change the policy of {_a(kind)}: what is not given stays as it is. Without an option, show it.")
    def policy(
        context: typer.Context,
        name: Annotated[str, named(kind)],
        *,
        models: Models = None,
        routes: Routes = None,
        max_attempts: Attempts = None,
        fallback: Fallback = None,
        cross_bucket: CrossBucket = None,
        charge_failed: ChargeFailed = None,
        restart_streams: RestartStreams = None,
        store_replies: StoreReplies = None,
        clear: Annotated[bool, typer.Option("--clear", help="Take the whole policy away.")] = False,
        reason: Reason = None,
        author: Author,
        as_json: Json = False,
    ) -> None:
        said = {
            "models": models, "route_types": routes, "max_attempts": max_attempts, "fallback": fallback,
            "cross_bucket": cross_bucket, "charge_failed": charge_failed, "restart_streams": restart_streams,
            "store_replies": store_replies,
        }  # fmt: skip
        session = session_of(context)
        entity = _with_policy(session, kind, name, said, clear=clear, why=because(author, reason))
        say_entity(session, entity, as_json=as_json)


def _with_policy(
    session: Session, kind: Kind, name: str, said: dict[str, str | None], *, clear: bool, why: dict[str, Any]
) -> dict[str, Any]:
    nothing = all(value is None for value in said.values())
    if clear and not nothing:
        raise SpokenError("--clear takes the whole policy away: give it alone")
    with session.connect("edge") as edge:
        entity_id = id_of(edge, kind, name)
        entity: dict[str, Any] = edge.get(path_of(kind, entity_id))
        if clear or not nothing:
            policy = None if clear else policy_of(said, entity["policy"])
            entity = edge.post(path_of(kind, entity_id, "policy"), {**why, "policy": policy})
    return entity


def _add_changes(app: typer.Typer, kind: Kind) -> None:
    @app.command(help=f"List what was done to {_a(kind)}, in order: when, what, by whom, why.")
    def changes(
        context: typer.Context, name: Annotated[str, named(kind)], *, limit: Limit = 100, as_json: Json = False
    ) -> None:
        session = session_of(context)
        with session.connect("edge") as edge:
            found = listed(edge, path_of(kind, id_of(edge, kind, name), "changes"), limit)
        if as_json:
            session.terminal.json(found)
            return
        session.terminal.table(
            ("at", "what", "by", "why"), [(when(row["at"]), row["what"], row["author"], row["reason"]) for row in found["data"]]
        )


def _a(kind: Kind) -> str:
    return f"{'an' if kind.word[0] in 'aeiou' else 'a'} {kind.word}"
