"""How Postgres is set, and what it lets each service do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from services.console.doctor.engine_verdicts import DURABLE, Roles
from services.console.doctor.expected import SERVICES, role_of
from services.console.errors import UnreachableError

SETTINGS = ("server_version_num", "synchronous_commit", *DURABLE)
WRITTEN_ONCE = ("txn", "posting", "balance_move", "price_book", "inbox")
CONNECT_TIMEOUT_S = 5
STATEMENT_TIMEOUT = "-c statement_timeout=10000"
Connection = psycopg.Connection[TupleRow]


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What was read, in one connection."""

    settings: Mapping[str, str]
    applied: Mapping[str, Sequence[str] | None]
    roles: Roles
    clock: datetime
    asked_at: datetime

    @classmethod
    def at(cls, dsn: str) -> Self:
        """Look. Raises UnreachableError where Postgres does not answer or does not let us look."""
        try:
            with psycopg.connect(
                dsn, connect_timeout=CONNECT_TIMEOUT_S, autocommit=True, options=STATEMENT_TIMEOUT
            ) as connection:
                asked_at = datetime.now(UTC)
                clock = _one(connection, "SELECT clock_timestamp()")
                settings = dict(_rows(connection, "SELECT name, setting FROM pg_settings WHERE name = ANY(%s)", [*SETTINGS]))
                applied = {service: _applied(connection, service) for service in SERVICES}
                roles = _roles(connection)
        except psycopg.Error as error:
            said = str(error).strip().splitlines()
            raise UnreachableError(
                f"Postgres cannot be looked at ({said[-1] if said else type(error).__name__})",
                "see that it runs, and give its owner's login as --database-url or DATABASE_URL",
            ) from error
        return cls(settings=settings, applied=applied, roles=roles, clock=clock, asked_at=asked_at)


def _rows(connection: Connection, statement: str, *parameters: Any) -> list[Any]:
    return connection.execute(statement.encode(), parameters).fetchall()


def _one(connection: Connection, statement: str, *parameters: Any) -> Any:
    return _rows(connection, statement, *parameters)[0][0]


def _applied(connection: Connection, service: str) -> list[str] | None:
    if _one(connection, "SELECT to_regclass(%s)", f"{service}._yoyo_migration") is None:
        return None
    statement = sql.SQL("SELECT migration_id FROM {}._yoyo_migration").format(sql.Identifier(service))
    return sorted(row[0] for row in connection.execute(statement).fetchall())


def _roles(connection: Connection) -> Roles:
    wanted = [role_of(service) for service in SERVICES]
    existing = {row[0] for row in _rows(connection, "SELECT rolname FROM pg_roles WHERE rolname = ANY(%s)", wanted)}
    schemas = {row[0] for row in _rows(connection, "SELECT nspname FROM pg_namespace WHERE nspname = ANY(%s)", [*SERVICES])}
    crossing = [
        (role, schema)
        for role in sorted(existing)
        for schema in sorted(schemas)
        if role != role_of(schema) and _one(connection, "SELECT has_schema_privilege(%s, %s, 'USAGE')", role, schema)
    ]
    ledger = role_of("settlement")
    rewriting = [
        table
        for table in WRITTEN_ONCE
        if ledger in existing and _one(connection, "SELECT to_regclass(%s)", f"settlement.{table}") is not None
        if _one(connection, "SELECT has_table_privilege(%s, %s, 'UPDATE, DELETE')", ledger, f"settlement.{table}")
    ]
    return Roles(existing=frozenset(existing), crossing=tuple(crossing), rewriting=tuple(rewriting), logins=_logins(connection))


def _logins(connection: Connection) -> frozenset[str]:
    """Who is connected to this database beside us."""
    statement = "SELECT usename FROM pg_stat_activity WHERE datname = current_database() AND pid <> "
    return frozenset(row[0] for row in _rows(connection, statement + "pg_backend_pid()") if row[0])
