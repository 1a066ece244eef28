"""What edge asks about runs and estimates, under `/internal/accounts/{account_id}/`."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager
from typing import Any
from urllib.parse import parse_qs

import orjson
import psycopg
from psycopg.rows import TupleRow
from pydantic import BaseModel, ConfigDict, Field

from schemas.envelope import Identifier
from schemas.runs import EstimateAsk, RunClosing, RunExtension, RunOpening, RunState
from services.settlement import run_reader
from services.settlement.book_store import BookStore
from services.settlement.estimate_store import make_estimate
from services.settlement.http_edges import Receive, Scope, read_body, refuse_nul
from services.settlement.run_closing import close_run
from services.settlement.run_store import extend_run, open_run

Answer = tuple[int, bytes]
Connection = psycopg.Connection[TupleRow]
Connect = Callable[[], AbstractContextManager[Connection]]


class _ListQuery(BaseModel):
    model_config = ConfigDict(extra="ignore")

    key_id: Identifier | None = None
    state: RunState | None = None
    after: Identifier | None = None
    limit: int = Field(default=100, ge=1, le=1000)


class _TimelineQuery(BaseModel):
    model_config = ConfigDict(extra="ignore")

    after: int = Field(default=0, ge=0)
    limit: int = Field(default=1000, ge=1, le=10_000)


class RunApi:
    """Finds the handler of a path; each blocks in a thread of its own."""

    def __init__(self, connect: Connect, books: BookStore) -> None:
        self._connect = connect
        self._books = books

    def find(  # noqa: PLR0911 - one line per endpoint
        self, scope: Scope, receive: Receive
    ) -> Coroutine[Any, Any, Answer] | None:
        """The answer under way, None where the path is not of this API."""
        parts = scope["path"].split("/")
        query = {name: values[-1] for name, values in parse_qs(scope["query_string"].decode("latin-1")).items()}
        match [scope["method"], *parts[3:]]:
            case ["POST", account, "runs"]:
                return self._open(account, receive)
            case ["GET", account, "runs"]:
                return self._list(account, query)
            case ["GET", account, "runs", run]:
                return self._account(account, run, query)
            case ["GET", account, "runs", run, "membership"]:
                return self._read(run_reader.membership, account, run)
            case ["POST", account, "runs", run, "extend"]:
                return self._extend(account, run, receive)
            case ["POST", account, "runs", run, "close"]:
                return self._close(account, run, receive)
            case ["POST", account, "estimate"]:
                return self._estimate(account, receive)
        return None

    async def _open(self, account: str, receive: Receive) -> Answer:
        asked = RunOpening.model_validate_json(await _body(receive))

        def work(connection: Connection) -> Answer:
            run_id, new = open_run(connection, account, asked, self._books.in_force)
            return 201 if new else 200, orjson.dumps(run_reader.run(connection, account, run_id))

        return await self._in_thread(work)

    async def _extend(self, account: str, run_id: str, receive: Receive) -> Answer:
        asked = RunExtension.model_validate_json(await _body(receive))

        def work(connection: Connection) -> Answer:
            extend_run(connection, account, run_id, asked, self._books.in_force)
            return 200, orjson.dumps(run_reader.run(connection, account, run_id))

        return await self._in_thread(work)

    async def _close(self, account: str, run_id: str, receive: Receive) -> Answer:
        asked = RunClosing.model_validate_json(await _body(receive))

        def work(connection: Connection) -> Answer:
            close_run(connection, account, run_id, asked.key)
            return 200, orjson.dumps(run_reader.run(connection, account, run_id))

        return await self._in_thread(work)

    async def _list(self, account: str, query: dict[str, str]) -> Answer:
        asked = _ListQuery.model_validate(query)

        def work(connection: Connection) -> Answer:
            page = run_reader.runs(connection, account, asked.key_id, asked.state, asked.after, asked.limit)
            return 200, orjson.dumps(page)

        return await self._in_thread(work)

    async def _account(self, account: str, run_id: str, query: dict[str, str]) -> Answer:
        asked = _TimelineQuery.model_validate(query)

        def work(connection: Connection) -> Answer:
            found = run_reader.run_account(connection, self._books, account, run_id, after=asked.after, limit=asked.limit)
            return 200, orjson.dumps(found)

        return await self._in_thread(work)

    async def _read(self, read: Callable[[Connection, str, str], Any], account: str, run_id: str) -> Answer:
        return await self._in_thread(lambda connection: (200, orjson.dumps(read(connection, account, run_id))))

    async def _estimate(self, account: str, receive: Receive) -> Answer:
        asked = EstimateAsk.model_validate_json(await _body(receive))

        def work(connection: Connection) -> Answer:
            return 200, orjson.dumps(make_estimate(connection, account, asked, self._books.in_force))

        return await self._in_thread(work)

    async def _in_thread(self, work: Callable[[Connection], Answer]) -> Answer:
        def run() -> Answer:
            self._books.refresh()
            with self._connect() as connection:
                return work(connection)

        return await asyncio.to_thread(run)


async def _body(receive: Receive) -> bytes:
    body = await read_body(receive)
    refuse_nul(body)
    return body
