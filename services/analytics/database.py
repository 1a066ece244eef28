"""Postgres, as the stores of analytics' calls use it: a bounded pool, named statements, errors told once."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout, TooManyRequests

from services.analytics.errors import PostgresAwayError, QueryRefusedError
from services.analytics.sqlfile import queries

Row = dict[str, Any]
Connection = psycopg.AsyncConnection[DictRow]
MAX_CONNECTIONS = 4
MAX_WAITING = 256
POOL_TIMEOUT_S = 3.0
STATEMENT_TIMEOUT_MS = 5_000
AWAY = (
    psycopg.OperationalError, psycopg.InterfaceError, psycopg.errors.IdleInTransactionSessionTimeout, PoolTimeout,
    TooManyRequests,
)  # fmt: skip


class Database:
    """Transactions and named statements. What psycopg raises about reaching Postgres becomes :class:`PostgresAwayError`."""

    def __init__(self, url: str) -> None:
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            url,
            min_size=1,
            max_size=MAX_CONNECTIONS,
            max_waiting=MAX_WAITING,
            timeout=POOL_TIMEOUT_S,
            open=False,
            connection_class=psycopg.AsyncConnection[DictRow],
            kwargs={"row_factory": dict_row, "autocommit": True, "options": f"-c statement_timeout={STATEMENT_TIMEOUT_MS}"},
            check=AsyncConnectionPool.check_connection,
            name="analytics",
        )

    async def open(self) -> None:
        """Begin to connect; does not wait for Postgres."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.close(timeout=5)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """One transaction. Raises :class:`PostgresAwayError`."""
        async with _Translated(), self._pool.connection() as connection, connection.transaction():
            yield connection

    async def rows(self, file: str, name: str, parameters: Mapping[str, Any] | None = None) -> list[Row]:
        """The rows of a statement in a transaction of its own."""
        async with _Translated(), self._pool.connection() as connection:
            return await rows_of(connection, file, name, parameters)


async def rows_of(connection: Connection, file: str, name: str, parameters: Mapping[str, Any] | None = None) -> list[Row]:
    """The rows of a named statement of a file on a connection; empty for a statement that returns none."""
    cursor = await connection.execute(queries(file)[name].encode(), parameters)
    return await cursor.fetchall() if cursor.description is not None else []


class _Translated:
    """The one place where psycopg's errors become ours."""

    async def __aenter__(self) -> None:
        return None

    async def __aexit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, psycopg.DataError):
            raise QueryRefusedError("body", "A text holds a character that cannot be stored.") from error
        if isinstance(error, AWAY):
            raise PostgresAwayError(f"Postgres does not answer: {error}") from error
