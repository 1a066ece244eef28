"""Connections to Postgres: the service's schema, binary results, bounded statements."""

import re
from urllib.parse import quote

import orjson
import psycopg
from psycopg.rows import TupleRow
from psycopg.types.json import set_json_dumps, set_json_loads

SCHEMA = "settlement"
_NAME = re.compile(r"^[a-z_][a-z0-9_]*$")


def configure_json() -> None:
    """Use orjson for json columns. Called once by each composition root."""
    set_json_loads(orjson.loads)
    set_json_dumps(orjson.dumps)


def options(statement_timeout_ms: int, schema: str = SCHEMA) -> str:
    """The libpq `options` of every connection: search_path, and bounds for statements and idle transactions."""
    if not _NAME.match(schema):
        raise ValueError(f"{schema!r} is not a plain schema name")
    return (
        f"-c search_path={schema} -c statement_timeout={statement_timeout_ms} "
        f"-c idle_in_transaction_session_timeout={max(statement_timeout_ms, 10_000)} -c TimeZone=UTC"
    )


async def connect_async(url: str, *, statement_timeout_ms: int) -> psycopg.AsyncConnection[TupleRow]:
    """An autocommit connection for the event loop. Raises psycopg.OperationalError."""
    connection = await psycopg.AsyncConnection.connect(
        url, autocommit=True, options=options(statement_timeout_ms), connect_timeout=5, application_name="settlement-api"
    )
    connection.prepare_threshold = 2
    return connection


def connect(url: str, *, statement_timeout_ms: int, name: str = "settlement-worker") -> psycopg.Connection[TupleRow]:
    """An autocommit connection for a thread. Raises psycopg.OperationalError."""
    connection = psycopg.connect(
        url, autocommit=True, options=options(statement_timeout_ms), connect_timeout=5, application_name=name
    )
    connection.prepare_threshold = 2
    return connection


def yoyo_url(url: str, schema: str = SCHEMA) -> str:
    """The same database as yoyo-migrations names it, with its own tables in the service's schema."""
    scheme, rest = url.split("://", 1)
    if not scheme.startswith("postgres"):
        raise ValueError("DATABASE_URL must be a postgresql:// URL")
    return f"postgresql+psycopg://{rest}{'&' if '?' in rest else '?'}schema={quote(schema)}"
