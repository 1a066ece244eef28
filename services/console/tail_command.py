"""`tollbook tail`: requests as they end."""

import json
from collections.abc import Generator, Sequence
from contextlib import closing
from typing import Annotated, Any

import typer

from services.console.entities.naming import ACCOUNT, KEY, PROJECT, Kind, known_id_of
from services.console.errors import ConsoleError
from services.console.server_events import events_of
from services.console.service_client import ServiceClient
from services.console.session import Json, Session, session_of

LIVE = "/admin/requests/live"


def tail(
    context: typer.Context,
    *,
    account: Annotated[str | None, typer.Option(metavar="NAME", help="Only requests of this account, by id or name.")] = None,
    project: Annotated[str | None, typer.Option(metavar="NAME", help="Only requests of this project, by id or name.")] = None,
    key: Annotated[str | None, typer.Option(metavar="NAME", help="Only requests with this key, by id, name or itself.")] = None,
    model: Annotated[str | None, typer.Option("--model", "-m", help="Only what asked for this model, or got it.")] = None,
    errors: Annotated[bool, typer.Option("--errors", help="Only what did not succeed.")] = False,
    count: Annotated[int | None, typer.Option("--count", "-n", min=1, help="End after so many requests.")] = None,
    as_json: Json = False,
) -> None:
    """Watch requests as they end: model, route, bucket, attempts, cost. No word of any prompt or reply is shown.

    `--json` prints one JSON document per line.
    """
    session = session_of(context)
    query = _ids(session, ((ACCOUNT, account), (PROJECT, project), (KEY, key)))
    query |= ({"model": model} if model else {}) | ({"errors": "true"} if errors else {})
    with session.connect("analytics") as analytics, closing(_watched(analytics, query)) as events:
        seen = 0
        for name, data in events:
            if name == "watching":
                session.terminal.progress("Watching; Ctrl-C ends it.")
            elif name == "ended":
                raise ConsoleError(data["message"])
            elif name == "request":
                seen += 1
                if as_json:
                    session.terminal.json_line(data)
                else:
                    session.terminal.say(said(data), style=None if data["outcome"] == "succeeded" else "red")
            if seen == count:
                return
    raise ConsoleError("analytics ended the stream without a word: see `tollbook status`, and watch again")


def _ids(session: Session, named: Sequence[tuple[Kind, str | None]]) -> dict[str, str]:
    """The ids of what was named; edge is asked only where something was."""
    given = [(kind, text) for kind, text in named if text is not None]
    if not given:
        return {}
    with session.connect("edge") as edge:
        return {kind.id_field: known_id_of(edge, kind, text) for kind, text in given}


def said(line: dict[str, Any]) -> str:
    """One request on one line."""
    clock = line["at"][11:23].removesuffix("Z")
    model = line["model"] or "(no model)"
    if line["answered_model"] not in (None, line["model"]):
        model += f" → {line['answered_model']}"
    route = f"{line['route_type']}/{line['channel']}" if line["channel"] else "no route"
    tries = f"{line['attempts']} attempt{'' if line['attempts'] == 1 else 's'}"
    if line["fallbacks"]:
        tries += f", moved on by {', '.join(line['fallbacks'])}"
    paid = f"{line['bucket']} {line['cost']} {line['currency']}" if line["cost"] is not None else "nothing charged"
    took = "" if line["latency_ms"] is None else f"{line['latency_ms']:.0f} ms"
    verdict = f"{line['http_status']}" + (f" {line['error']}" if line["error"] else "")
    who = f"{line['key_name']} ({line['key_id']})" if line["key_name"] else line["key_id"]
    return "  ".join(part for part in (clock, verdict, model, route, tries, paid, took, who, line["request_id"]) if part)


def _watched(analytics: ServiceClient, query: dict[str, str]) -> Generator[tuple[str, Any], None, None]:
    with analytics.opened("GET", LIVE, params=query) as reply:
        for name, data in events_of(reply.iter_lines()):
            yield name, json.loads(data)
