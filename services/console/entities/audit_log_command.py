"""`tollbook audit-log`: who changed what, in every service, in one order."""

import heapq
import json
from collections.abc import Iterator
from itertools import islice
from typing import Annotated, Any

import typer

from schemas.envelope import now
from services.console.entities.instants import when
from services.console.entities.money import money
from services.console.entities.naming import ACCOUNT, id_of
from services.console.entities.options import Limit
from services.console.errors import RefusedError
from services.console.paging import PAGE
from services.console.session import Json, Session, session_of
from services.console.spoken import instant

SERVICES = ("edge", "router", "settlement", "analytics")
ROOT = "root"
SHOWN = 200
QUIET = frozenset({"version", "changed_at", "changed_by", "updated_at", "id", "kind", "object", "limit_nano", "balance"})
Row = dict[str, Any]
Which = Annotated[str | None, typer.Option(show_default=False)]


def audit_log(
    context: typer.Context,
    *,
    account: Annotated[
        str | None, typer.Option("--account", "-a", help="Of this account, by id or name.", show_default=False)
    ] = None,
    entity_kind: Annotated[
        str | None, typer.Option("--kind", help="Of this kind, such as key or limit.", show_default=False)
    ] = None,
    entity_id: Annotated[str | None, typer.Option("--id", help="Of this very thing.", show_default=False)] = None,
    actor: Annotated[str | None, typer.Option(help="By this user's id, or root.", show_default=False)] = None,
    since: Annotated[str | None, typer.Option(help="1d ago, a date, or an instant.", show_default=False)] = None,
    until: Annotated[str | None, typer.Option(help="The same; by default now.", show_default=False)] = None,
    service: Annotated[
        list[str] | None, typer.Option(help="Only edge's, router's, settlement's or analytics'.", show_default=False)
    ] = None,
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """List changes, the newest first: who, what, before, after, why. Of all services, merged by time."""
    session = session_of(context)
    query: dict[str, str | None] = {"entity_kind": entity_kind, "entity_id": entity_id, "actor": actor}
    query |= {"since": since and instant(since, now(), past=True), "until": until and instant(until, now(), past=True)}
    if account is not None:
        with session.connect("edge") as edge:
            query["account_id"] = id_of(edge, ACCOUNT, account)
    size = min(PAGE, limit)
    sources = [_entries(session, each, query, size) for each in service or SERVICES]
    found = list(islice(heapq.merge(*sources, key=lambda row: (row["at"], row["id"]), reverse=True), limit))
    if as_json:
        session.terminal.json({"object": "list", "data": found, "next_after": None})
        return
    session.terminal.table(
        ("at", "who", "what", "of", "account", "change", "why"),
        [
            (
                when(row["at"]), _who(row), row["action"], row["entity_id"], row["account_id"],
                _change(row), row["reason"],
            )
            for row in found
        ],
    )  # fmt: skip


def _entries(session: Session, service: str, query: dict[str, str | None], size: int) -> Iterator[Row]:
    """One service's entries, the newest first, fetched as they are read."""
    after: str | None = None
    with session.connect(service) as client:
        while True:
            try:
                page = client.get("/admin/audit-log", **query, after=after, limit=size)
            except RefusedError as error:
                if error.status == 404 and after is None:
                    session.terminal.error(
                        f"{service} keeps no audit log (it is of an older version): its changes are not shown"
                    )
                    return
                raise
            yield from ({**row, "service": service} for row in page["data"])
            after = page["next_after"]
            if after is None:
                return


def _who(row: Row) -> str:
    """The user's name, or `root` for the admin token with the author that was named beside it."""
    actor, name = str(row["actor"]), row["actor_name"]
    if actor == ROOT:
        return ROOT if name in (None, "", ROOT) else f"{ROOT} ({name})"
    return str(name or actor)


def _change(row: Row) -> str:
    """What it was and what it is: of what is new or gone everything, of what was changed the fields that differ."""
    before, after = row.get("before"), row.get("after")
    if before is None or after is None or not before.keys() & after.keys():
        text = ("was " if after is None else "") + ", ".join(_told(after or before or {}))
    else:
        named = [name for name in after if name in before and name not in QUIET and before[name] != after[name]]
        text = ", ".join(f"{name} {_shown(before[name])} -> {_shown(after[name])}" for name in named)
    if "window" in (after or before or {}) and "limit_nano" in (after or before or {}):
        text = f"{row['entity_kind']}, per {(after or before or {})['window']}: {text}"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def _told(new: dict[str, Any]) -> Iterator[str]:
    """The fields of something new that say more than the row does already; amounts once, as text."""
    for name, value in new.items():
        if value in (None, False, [], {}) or name in QUIET or name.endswith(("_at", "_id")):
            continue
        if not name.endswith("_nano"):
            yield f"{name} {_shown(value)}"
        elif (amount := name.removesuffix("_nano")) not in new and isinstance(value, int):
            yield f"{amount} {money(value, new.get('currency'))}"


def _shown(value: Any) -> str:
    return "nothing" if value is None else json.dumps(value, ensure_ascii=False)
