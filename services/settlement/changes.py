"""Changes that an admin call makes: one transaction with what the audit log says of it, once for each idempotency key."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import orjson
import psycopg
from fastapi import Response
from psycopg.rows import TupleRow

from services.settlement import audit_log
from services.settlement.admin_calls import AdminCall
from services.settlement.audit_log import Change
from services.settlement.errors import ConflictError
from services.settlement.statements import statements

Connection = psycopg.Connection[TupleRow]
Connect = Callable[[], AbstractContextManager[Connection]]


class Reply(Response):
    """JSON by orjson: UUIDs and instants as everywhere."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """The body."""
        return orjson.dumps(content, option=orjson.OPT_UTC_Z)


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What a call came to. Without changes nothing is written to the audit log: what was asked for was so already."""

    answer: Any
    status: int = 200
    changes: Sequence[Change] = ()


def change(connect: Connect, call: AdminCall, make: Callable[[Connection], Made]) -> Response:
    """Let `make` do its work and write it down, all or nothing.

    A call that comes again under its key gets the stored answer. Raises ConflictError where the key came with another body or
    query, and whatever `make` raises.
    """
    with connect() as connection, connection.transaction():
        if (stored := _stored(connection, call)) is not None:
            return stored
        made = make(connection)
        audit_log.write(connection, call, made.changes)
        reply = Reply(made.answer, status_code=made.status)
        _store(connection, call, reply)
        return reply


def page_of(found: Sequence[dict[str, Any]], limit: int, place: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """A page of what was read with one row more than it has room for; `place` is what the next page goes on from."""
    page = found[:limit]
    return {"object": "list", "data": page, "next_after": str(place(page[-1])) if len(found) > limit else None}


def _name(call: AdminCall) -> dict[str, Any]:
    return {"actor": call.principal.user_id, "path": call.path, "key": call.key}


def _stored(connection: Connection, call: AdminCall) -> Response | None:
    if call.key is None:
        return None
    sql = statements("audit_log.sql")
    connection.execute(sql["lock_reply"], _name(call))
    found = connection.execute(sql["stored_reply"], _name(call)).fetchone()
    if found is None:
        return None
    request_hash, status, text = found
    if bytes(request_hash) != call.body_hash:
        raise ConflictError(
            f"the idempotency key {call.key} came before with another body or query: nothing was done, use a new key"
        )
    return Response(text, status_code=status, media_type="application/json")


def _store(connection: Connection, call: AdminCall, reply: Response) -> None:
    if call.key is not None:
        kept = {"request_hash": call.body_hash, "status": reply.status_code, "reply": bytes(reply.body).decode()}
        connection.execute(statements("audit_log.sql")["store_reply"], _name(call) | kept)
