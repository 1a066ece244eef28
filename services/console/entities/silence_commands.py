"""`tollbook alerts silences …`: what is not told for a while."""

from typing import Annotated, Any
from uuid import UUID

import typer

from schemas.envelope import now
from services.console.entities.instants import when
from services.console.entities.naming import ACCOUNT, id_of
from services.console.entities.options import Limit
from services.console.paging import listed
from services.console.session import Author, Json, Session, session_of
from services.console.spoken import SpokenError, instant

app = typer.Typer(help="Silences: what is not told for a while.", no_args_is_help=True)


@app.command("list")
def list_silences(
    context: typer.Context,
    *,
    every: Annotated[bool, typer.Option("--all", help="Those that are over too.")] = False,
    limit: Limit = 100,
    as_json: Json = False,
) -> None:
    """List silences, the newest first."""
    session = session_of(context)
    with session.connect("analytics") as analytics:
        found = listed(analytics, "/admin/silences", limit, **({"all": True} if every else {}))
    if as_json:
        session.terminal.json(found)
    elif found["data"]:
        rows = [(each["silence_id"], _of(each), when(each["until"]), each["by"], each["reason"]) for each in found["data"]]
        session.terminal.table(("silence", "of", "until", "by", "why"), rows)
    else:
        session.terminal.say("Nothing is silenced.")


@app.command("add")
def add_silence(
    context: typer.Context,
    *,
    rule: Annotated[str | None, typer.Option(help="Of this rule.", show_default=False)] = None,
    key: Annotated[str | None, typer.Option(help="Of this key, by its public id.", show_default=False)] = None,
    channel: Annotated[str | None, typer.Option(help="Of this channel.", show_default=False)] = None,
    tag: Annotated[str | None, typer.Option(help="Of this tag, as name=value.", show_default=False)] = None,
    account: Annotated[str | None, typer.Option("--account", "-a", help="Of this account.", show_default=False)] = None,
    until: Annotated[str, typer.Option(help="2h from now, a date, or an instant.", show_default=False)],
    reason: Annotated[str, typer.Option(help="Why, for the record.", show_default=False)],
    author: Author,
    as_json: Json = False,
) -> None:
    """Be told nothing of whatever has all that is named. Detection goes on."""
    if key and channel:
        raise SpokenError("an alert is of a key or of a channel: name one of them")
    session = session_of(context)
    body: dict[str, Any] = {"until": instant(until, now()), "reason": reason, "author": author}
    words = {"rule": rule, "tag": tag, "subject_id": key or channel}
    words["subject_kind"] = "key" if key else "channel" if channel else None
    if account is not None:
        with session.connect("edge") as edge:
            words["account_id"] = id_of(edge, ACCOUNT, account)
    body |= {name: value for name, value in words.items() if value}
    with session.connect("analytics") as analytics:
        _say(session, analytics.post("/admin/silences", body), as_json=as_json)


@app.command("end")
def end_silence(
    context: typer.Context,
    silence_id: Annotated[UUID, typer.Argument(metavar="SILENCE", help="The silence's id.", show_default=False)],
    as_json: Json = False,
) -> None:
    """End a silence at once. What still fires is told."""
    session = session_of(context)
    with session.connect("analytics") as analytics:
        _say(session, analytics.change("DELETE", f"/admin/silences/{silence_id}"), as_json=as_json)


def _of(silence: dict[str, Any]) -> str:
    subject = f"{silence['subject_kind']} {silence['subject_id']}".strip()
    words = (silence["rule"], subject, silence["tag"], silence["account_id"])
    return ", ".join(word for word in words if word)


def _say(session: Session, silence: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        session.terminal.json(silence)
        return
    over = {"ended_at": when(silence["ended_at"]), "ended_by": silence["ended_by"]}
    session.terminal.facts(
        {"silence_id": silence["silence_id"], "of": _of(silence), "until": when(silence["until"]), "by": silence["by"]}
        | {"why": silence["reason"]}
        | over
    )
