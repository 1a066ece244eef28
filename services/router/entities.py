"""One channel or model of a table, put in or taken out: a table is changed as a whole, whoever changes a part. Pure."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from services.router.errors import EntityMissingError, TableRejectedError
from services.router.table import AS_POSTED, PLAIN_REASONS, ChannelRow, ModelRow, RouteTable

Json = dict[str, Any]
Kind = Literal["channel", "model"]
ROWS: dict[Kind, type[BaseModel]] = {"channel": ChannelRow, "model": ModelRow}


def row_in(table: Json, kind: Kind, id_: str) -> Json:
    """The entity's row. Raises :class:`EntityMissingError`."""
    found: Json | None = next((row for row in table[f"{kind}s"] if row["id"] == id_), None)
    if found is None:
        raise EntityMissingError(f"The route table in force has no {kind} {id_!r}.")
    return found


def with_row(table: Json, kind: Kind, id_: str, given: Any) -> Json:
    """The table with the row in place of the one of this id, or at its end. Raises :class:`TableRejectedError`."""
    if not isinstance(given, dict):
        raise TableRejectedError(f"a {kind} is an object with fields, as GET /admin/{kind}s/{{id}} shows them")
    if given.setdefault("id", id_) != id_:
        raise TableRejectedError(f"{kind} {id_}: id: it is {given['id']!r} here and {id_!r} in the address")
    try:
        ROWS[kind].model_validate(given, context=AS_POSTED)
    except ValidationError as exc:
        raise TableRejectedError(_said(exc, f"{kind} {id_}")) from None
    rows = table[f"{kind}s"]
    known = any(row["id"] == id_ for row in rows)
    kept = [given if row["id"] == id_ else row for row in rows] if known else [*rows, given]
    return {**table, f"{kind}s": kept}


def without_row(table: Json, kind: Kind, id_: str) -> Json:
    """The table without the row. Raises :class:`EntityMissingError`, :class:`TableRejectedError` where a model needs it."""
    row_in(table, kind, id_)
    if kind == "channel":
        users = [model["id"] for model in table["models"] if id_ in {each["channel"] for each in model["candidates"]}]
        if users:
            named = ", ".join(users[:5]) + (f" and {len(users) - 5} more" if len(users) > 5 else "")
            raise TableRejectedError(f"channel {id_}: it is a candidate of {named}: take it out of their candidates first")
    return {**table, f"{kind}s": [row for row in table[f"{kind}s"] if row["id"] != id_]}


def read_table(document: Json) -> RouteTable:
    """The whole table. Raises :class:`TableRejectedError`."""
    try:
        return RouteTable.model_validate(document)
    except ValidationError as exc:
        raise TableRejectedError(_said(exc, "")) from None


def _said(exc: ValidationError, subject: str) -> str:
    """The mistakes, without what was given: it may be a secret."""
    told = []
    for error in exc.errors(include_input=False)[:10]:
        place = [subject, ".".join(str(step) for step in error["loc"])]
        reason = PLAIN_REASONS.get(error["type"]) or str(error["msg"]).removeprefix("Value error, ")
        told.append(": ".join([*(each for each in place if each), reason]))
    return "; ".join(told)
