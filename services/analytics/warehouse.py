"""ClickHouse through clickhouse-connect: one handle, its calls one after the other in a thread of its own.

The embedded engine admits one process per path and one path per process; each handle of it takes one call at a time.
Loading and reading have a handle each, so that a long query never holds up an insert.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import clickhouse_connect
from clickhouse_connect.driver.binding import quote_identifier
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error
from urllib3.exceptions import HTTPError

from services.analytics import placed_rows, rollups
from services.analytics.errors import TransientError
from services.analytics.rollups import Rollup
from services.analytics.rows.decode import Row
from services.analytics.rows.table import Table
from services.analytics.span import Span
from services.analytics.sqlfile import queries

T = TypeVar("T")
CONNECT_TIMEOUT_S = 5
LOADING_TIMEOUT_S = 60
READING_TIMEOUT_S = 15
"""How long a server may be silent: an insert may take its time, a query of ours is ended after ten seconds by the server."""
TLS_SCHEMES = {"https", "clickhouses"}
QUERY_LIMITS = {"max_execution_time": 10, "max_memory_usage": 2_000_000_000, "max_result_rows": 100_000}
MOST_TEXT_BYTES = 64 * 1024 * 1024
"""Of one query: the ids of a batch are a text of some megabytes."""


class WarehouseAwayError(TransientError):
    """ClickHouse did not answer, or refused: try again after a pause."""


class Warehouse:
    """One handle to ClickHouse, connected when it is first used.

    `patience_s` bounds how long a caller waits, also for the calls before its own; None is for ever.
    """

    def __init__(self, connect: Callable[[], Client], name: str, *, patience_s: float | None = None) -> None:
        self._connect = connect
        self._patience_s = patience_s
        self._client: Client | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"clickhouse-{name}")

    async def call(self, function: Callable[[Client], T]) -> T:
        """Run `function` with the client, after the calls before it. Raises :class:`WarehouseAwayError`."""
        try:
            async with asyncio.timeout(self._patience_s):
                return await asyncio.get_running_loop().run_in_executor(self._thread, self._guarded, function)
        except TimeoutError as error:
            raise WarehouseAwayError(f"ClickHouse did not answer within {self._patience_s} s") from error

    async def insert(self, table: Table, rows: Sequence[Row], batch_no: int, token: str) -> None:
        """Insert a batch's rows, values in the order of the table's columns; again under the same token is a no-op."""
        await self.call(lambda client: placed_rows.insert(client, table, rows, batch_no, token))

    async def known(self, table: Table, rows: Sequence[Row], batch_no: int) -> set[int]:
        """The ids among the rows' events that the table has from another batch."""
        return await self.call(lambda client: placed_rows.known(client, table, rows, batch_no))

    async def rows_of_batch(self, table: Table, batch_no: int) -> set[int]:
        """The ids of the events that the table has from this batch."""
        return await self.call(lambda client: placed_rows.of_batch(client, table, batch_no))

    async def add(self, rollup: Rollup, batch_no: int, span: Span, token: str) -> None:
        """Add what the batch's raw rows within the span come to; again under the same token is a no-op."""
        await self.call(lambda client: rollups.add(client, rollup, batch_no, span, token))

    async def months_with(self, rollup: Rollup, batch_no: int) -> set[int]:
        """The months (YYYYMM) to which the batch was added."""
        return await self.call(lambda client: rollups.months_with(client, rollup, batch_no))

    async def rows(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """The rows of a query, bounded in time, memory and number."""
        return await self.call(lambda client: _rows(client, sql, parameters))

    async def close(self) -> None:
        """Wait for the call under way and close the handle."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._disconnect)
        self._thread.shutdown(wait=True)

    def _guarded(self, function: Callable[[Client], T]) -> T:
        try:
            if self._client is None:
                self._client = self._connect()
            return function(self._client)
        except (Error, OSError, HTTPError, HTTPException) as error:
            # After an error the embedded engine begins the handle's next result with what was left of this one.
            self._disconnect()
            raise WarehouseAwayError(f"ClickHouse: {error}") from error

    def _disconnect(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()


def connector(
    clickhouse_url: str, data_dir: Path, database: str, *, max_threads: int, timeout_s: float = LOADING_TIMEOUT_S
) -> Callable[[], Client]:
    """How to open a handle: to the server at the URL, or to the embedded engine under the data directory if it is empty.

    A database that the URL names goes before the other; it is created if it is missing.
    """
    named = urlsplit(clickhouse_url).path.strip("/") or database

    def connect() -> Client:
        settings = {"max_threads": max_threads, "max_query_size": MOST_TEXT_BYTES}
        client = (
            _server(clickhouse_url, settings, timeout_s) if clickhouse_url else _embedded(data_dir / "clickhouse", settings)
        )
        client.command(f"CREATE DATABASE IF NOT EXISTS {quote_identifier(named)}")
        client.database = named
        return client

    return connect


def _server(url: str, settings: dict[str, Any], timeout_s: float) -> Client:
    parts = urlsplit(url)
    return clickhouse_connect.get_client(
        dsn=urlunsplit(parts._replace(path="")),
        interface="https" if parts.scheme in TLS_SCHEMES else "http",
        settings=settings,
        autogenerate_session_id=False,
        connect_timeout=CONNECT_TIMEOUT_S,
        send_receive_timeout=timeout_s,
    )


def _embedded(path: Path, settings: dict[str, Any]) -> Client:
    path.mkdir(parents=True, exist_ok=True)
    return clickhouse_connect.get_client(interface="chdb", path=str(path), settings=settings)


def store_id_of(client: Client) -> UUID:
    """Which store this is. A new one draws its id now."""
    client.command(queries("warehouse.sql")["name_store"])
    found: UUID = client.query(queries("warehouse.sql")["store_id"]).result_rows[0][0]
    return found


def _rows(client: Client, sql: str, parameters: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    result = client.query(sql, parameters=dict(parameters or {}), settings=QUERY_LIMITS)
    return [dict(zip(result.column_names, row, strict=True)) for row in result.result_rows]
