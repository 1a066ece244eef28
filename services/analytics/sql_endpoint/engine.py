"""The engine's own handle for readers from outside: read-only for ever, bounded in time, rows, bytes and memory."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from clickhouse_connect.driver.binding import bind_query
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from services.analytics.sql_endpoint.guard import (
    DENIED_CATEGORIES,
    DENIED_FUNCTIONS,
    Allowed,
    SqlRefusedError,
    check,
)
from services.analytics.sqlfile import queries
from services.analytics.warehouse import Warehouse, WarehouseAwayError

THREADS = 2
_CODE = re.compile(r"Code: (\d+)\. DB::Exception: (.*)", re.DOTALL)
_FORMAT = re.compile(r"\bFORMAT `?(\w+)`?$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What one query may take."""

    seconds: int = 10
    rows: int = 1_000_000
    bytes: int = 200_000_000
    memory_bytes: int = 1_000_000_000

    @property
    def settings(self) -> dict[str, str | int]:
        """The engine's settings for it. `readonly` comes last: nothing can be set behind it."""
        return {
            "max_threads": THREADS,
            "max_execution_time": self.seconds,
            "timeout_overflow_mode": "throw",
            "max_result_rows": self.rows,
            "max_result_bytes": self.bytes,
            "result_overflow_mode": "throw",
            "max_memory_usage": self.memory_bytes,
            "max_estimated_execution_time": 0,
            "readonly": 1,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The result in the format that the query or its caller asked for."""

    body: bytes
    format: str


@dataclass(frozen=True, slots=True)
class Verbatim:
    """A parameter as it came in the address: in ClickHouse's own escaped form already, which the driver leaves to `str`."""

    text: str

    def __str__(self) -> str:
        return self.text


class Engine:
    """Checks queries by the engine's own parser and runs them, one after the other."""

    def __init__(self, warehouse: Warehouse, database: str, bounds: Bounds) -> None:
        self._warehouse = warehouse
        self._database = database
        self._bounds = bounds
        self._bound: Client | None = None
        self._denied: frozenset[str] = frozenset()

    async def run(self, sql: str, parameters: Mapping[str, str], default_format: str) -> Reply:
        """The reply to one query. Raises :class:`SqlRefusedError`, and WarehouseAwayError where the engine is away."""
        try:
            return await self._warehouse.call(lambda client: self._run(client, sql, parameters, default_format))
        except WarehouseAwayError as error:
            if isinstance(error.__cause__, DatabaseError):
                raise refused(str(error.__cause__)) from error
            raise

    def _run(self, client: Client, sql: str, parameters: Mapping[str, str], default_format: str) -> Reply:
        self._bind(client)
        formatted: str = client.query(queries("sql_endpoint.sql")["formatted"], parameters={"sql": sql}).result_rows[0][0]
        values = bound(formatted, parameters)
        tree = client.raw_query(f"EXPLAIN AST {formatted}", parameters=values or None, fmt="TSVRaw").decode()
        tables = [row[0] for row in client.query(queries("sql_endpoint.sql")["own_tables"]).result_rows]
        others = [row[0] for row in client.query(queries("sql_endpoint.sql")["other_databases"]).result_rows]
        allowed = Allowed(database=self._database, other_databases=others, tables=tables, functions_denied=self._denied)
        check(formatted, tree, allowed)
        named = _FORMAT.search(formatted)
        output = named.group(1) if named else default_format
        body = client.raw_query(formatted, parameters=values or None, fmt=None if named else default_format)
        return Reply(body=body, format=output)

    def _bind(self, client: Client) -> None:
        """Make the handle read-only, once: what it may not is asked of it before."""
        if self._bound is client:
            return
        found = client.query(
            queries("sql_endpoint.sql")["functions_denied"], parameters={"categories": list(DENIED_CATEGORIES)}
        )
        self._denied = frozenset(row[0] for row in found.result_rows) | {name.lower() for name in DENIED_FUNCTIONS}
        for name, value in self._bounds.settings.items():
            client.command(f"SET {name} = '{value}'")
        self._bound = client


def bound(formatted: str, parameters: Mapping[str, str]) -> dict[str, Verbatim]:
    """The values of the parameters that the query names. Raises SqlRefusedError where the driver would write one into the text.

    It does so for a query that names none in ClickHouse's way, by Python's `%`: behind the check, whatever the value is.
    """
    values = {name: Verbatim(value) for name, value in parameters.items() if f"{{{name}:" in formatted}
    if not values:
        return {}
    try:
        text, sent = bind_query(formatted, dict(values))
    except Exception as error:
        raise SqlRefusedError(36, "BAD_ARGUMENTS", "The parameters do not fit the query") from error
    if text != formatted or len(sent) != len(values):
        raise SqlRefusedError(36, "BAD_ARGUMENTS", "Parameters are written {name:Type}")
    return values


def refused(message: str) -> SqlRefusedError:
    """The engine's own refusal, with its code; without this process' paths and the driver's words."""
    found = _CODE.search(message)
    if found is None:
        return SqlRefusedError(1002, "UNKNOWN_EXCEPTION", message.splitlines()[0] if message else "unknown")
    error = SqlRefusedError(int(found.group(1)), "", "")
    error.args = (f"Code: {found.group(1)}. DB::Exception: {found.group(2).strip()}",)
    return error
