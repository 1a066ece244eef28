"""Postgres, as every store of the edge uses it: a bounded pool, named statements, errors told once."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout, TooManyRequests

from services.edge.errors import InvalidRequestError, StoreUnavailableError
from services.edge.queries import queries

Row = dict[str, Any]
Connection = psycopg.AsyncConnection[DictRow]

MAX_CONNECTIONS = 8
MAX_WAITING = 512
POOL_TIMEOUT_S = 3.0
STATEMENT_TIMEOUT_MS = 5000


class Database:
    """Runs named statements. What psycopg raises about reaching Postgres becomes :class:`StoreUnavailableError`."""

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
        )

    async def open(self) -> None:
        """Begin to connect; does not wait for Postgres."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.close(timeout=5)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """One transaction. Raises :class:`StoreUnavailableError`."""
        async with _Translated(), self._pool.connection() as connection, connection.transaction():
            yield connection

    async def rows(self, name: str, parameters: Mapping[str, Any] | None = None) -> list[Row]:
        """The rows of a statement in a transaction of its own."""
        async with _Translated(), self._pool.connection() as connection:
            return await rows_of(connection, name, parameters)

    async def row(self, name: str, parameters: Mapping[str, Any] | None = None) -> Row | None:
        """The first row of a statement, or None."""
        found = await self.rows(name, parameters)
        return found[0] if found else None


async def rows_of(connection: Connection, name: str, parameters: Mapping[str, Any] | None = None) -> list[Row]:
    """The rows of a named statement on a connection; empty for a statement that returns none."""
    cursor = await connection.execute(queries()[name], parameters)
    return await cursor.fetchall() if cursor.description is not None else []


class _Translated:
    """The one place where psycopg's errors become ours."""

    async def __aenter__(self) -> None:
        return None

    async def __aexit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, psycopg.DataError):
            raise InvalidRequestError("invalid_value", "A text holds a character that cannot be stored.") from error
        if isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout, TooManyRequests)):
            raise StoreUnavailableError(str(error)) from error
