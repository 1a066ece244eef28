"""Connections to Postgres: the service's schema, binary results, bounded statements."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

import orjson
import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import Dumper
from psycopg.pq import Format
from psycopg.rows import TupleRow
from psycopg.types.json import set_json_dumps, set_json_loads

from services.settlement.arrays import Packed

SCHEMA = "settlement"


class PackedDumper(Dumper):
    """Hands an array over as it is; its type is the statement's to say."""

    format = Format.BINARY

    def dump(self, obj: Packed) -> Buffer:
        """The bytes themselves."""
        return obj


# For every connection, whoever opens it: without it an array would be taken for a `bytea`, and refused.
psycopg.adapters.register_dumper(Packed, PackedDumper)


def configure_json() -> None:
    """Use orjson for json columns. Called once by each composition root."""
    set_json_loads(orjson.loads)
    set_json_dumps(orjson.dumps)


def options(statement_timeout_ms: int, *, analytic: bool = False) -> str:
    """The libpq `options` of every connection: search_path, bounds for statements and transactions, and how to plan.

    A process that is frozen, or whose machine is gone, keeps the locks of its transaction until that is over, and in the middle
    of a pipeline Postgres does not count it as idle: the bound is on the whole transaction, so that a successor never waits
    longer than that (Postgres 17 and newer). Nobody waits for a check's long snapshot.

    Every statement of the daily work finds its rows by an index. A plan that was made while the tables were small would
    scan them for ever, so that scans and hash joins are not even considered, and plans are made once. The checks that
    read everything are `analytic`.
    """
    indexed = {
        "plan_cache_mode": "force_generic_plan",
        "enable_seqscan": "off",
        "enable_hashjoin": "off",
        "enable_mergejoin": "off",
    }
    chosen = {
        "search_path": SCHEMA,
        "statement_timeout": statement_timeout_ms,
        ("idle_in_transaction_session_timeout" if analytic else "transaction_timeout"): max(2 * statement_timeout_ms, 10_000),
        "TimeZone": "UTC",
        "jit": "off",
        **({} if analytic else indexed),
    }
    return " ".join(f"-c {name}={value}" for name, value in chosen.items())


async def connect_async(url: str, *, statement_timeout_ms: int) -> psycopg.AsyncConnection[TupleRow]:
    """An autocommit connection for the event loop. Raises psycopg.OperationalError."""
    connection = await psycopg.AsyncConnection.connect(
        url,
        autocommit=True,
        options=options(statement_timeout_ms),
        connect_timeout=5,
        application_name="settlement-api/holds",
        prepare_threshold=2,
    )
    return connection


def connect(
    url: str, *, statement_timeout_ms: int, name: str = "settlement", analytic: bool = False
) -> psycopg.Connection[TupleRow]:
    """An autocommit connection for a thread. Raises psycopg.OperationalError."""
    return psycopg.connect(
        url,
        autocommit=True,
        options=options(statement_timeout_ms, analytic=analytic),
        connect_timeout=5,
        application_name=name,
        prepare_threshold=2,
    )


@contextmanager
def snapshot(connection: psycopg.Connection[TupleRow]) -> Iterator[None]:
    """Everything that is read inside is read as of one instant, and nothing is written."""
    with connection.transaction():
        connection.execute("set transaction isolation level repeatable read, read only")
        yield


def yoyo_url(url: str, schema: str = SCHEMA) -> str:
    """The same database as yoyo-migrations names it, with its own tables in the service's schema."""
    scheme, rest = url.split("://", 1)
    if not scheme.startswith("postgres"):
        raise ValueError("DATABASE_URL must be a postgresql:// URL")
    return f"postgresql+psycopg://{rest}{'&' if '?' in rest else '?'}schema={quote(schema)}"
