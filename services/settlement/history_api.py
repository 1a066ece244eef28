"""Statements and top-ups, for operators under `/admin` and for edge under `/internal/accounts/{account_id}/`."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager
from typing import Annotated, Any
from urllib.parse import parse_qs
from uuid import UUID

import orjson
import psycopg
from fastapi import APIRouter, Query, Response
from fastapi.responses import JSONResponse
from psycopg.rows import TupleRow
from pydantic import BaseModel, ConfigDict, Field

from schemas.envelope import now
from services.settlement import statement_store
from services.settlement.admin_calls import operation
from services.settlement.admin_models import Page, StatementReply, TopUpRow
from services.settlement.http_edges import Scope
from services.settlement.statement_documents import Document, document, require_format

Connect = Callable[[], AbstractContextManager[psycopg.Connection[TupleRow]]]


class _Page(BaseModel):
    model_config = ConfigDict(extra="ignore")

    after: UUID | None = None
    limit: int = Field(default=100, ge=1, le=1000)


def history_routes(router: APIRouter, connect: Connect) -> None:
    """Add the admin routes."""

    @router.get(
        "/accounts/{account_id}/topups",
        response_model=Page[TopUpRow],
        **operation("budget.read", "List the payments of an account", about="path"),
    )
    def list_top_ups(account_id: str, after: UUID | None = None, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> Response:
        """Newest first, with what their provider took back and gave again."""
        with connect() as connection:
            return JSONResponse(statement_store.top_ups(connection, account_id, after=after, limit=limit))

    stated = operation("budget.read", "Show the statement of a month", about="path", errors=[500])
    stated["responses"][200] = {"content": {"text/csv": {}, "application/pdf": {}}}

    @router.get("/accounts/{account_id}/statements/{month}", response_model=StatementReply, **stated)
    def show_statement(account_id: str, month: str, bucket: str | None = None, format: str = "json") -> Response:
        """A month in UTC (YYYY-MM), the present one up to now; `format` is json, csv or pdf."""
        made = _statement(connect, account_id, month, bucket, format)
        return Response(made.body, headers=made.headers)


class HistoryApi:
    """Finds the handler of an internal path; each blocks in a thread of its own."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect

    def find(self, scope: Scope) -> Coroutine[Any, Any, Document] | None:
        """The answer under way, None where the path is not of this API."""
        query = {name: values[-1] for name, values in parse_qs(scope["query_string"].decode("latin-1")).items()}
        match [scope["method"], *scope["path"].split("/")[3:]]:
            case ["GET", account, "topups"]:
                return asyncio.to_thread(self._top_ups, account, _Page.model_validate(query))
            case ["GET", account, "statements", month]:
                bucket, name = query.get("bucket"), query.get("format", "json")
                return asyncio.to_thread(_statement, self._connect, account, month, bucket, name)
        return None

    def _top_ups(self, account: str, page: _Page) -> Document:
        with self._connect() as connection:
            found = statement_store.top_ups(connection, account, after=page.after, limit=page.limit)
        return Document(orjson.dumps(found), "application/json", "topups.json")


def _statement(connect: Connect, account: str, month: str, bucket: str | None, name: str) -> Document:
    require_format(name)
    with connect() as connection:
        statement = statement_store.read_statement(connection, account, month, bucket, now=now())
    return document(statement, name)
