"""ClickHouse's schema migrations: files in order, each recorded once it is applied.

ClickHouse has no transactions over DDL, so every statement is one that may run again (`IF NOT EXISTS`): a process that
dies in the middle of a file begins that file anew.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from clickhouse_connect.driver.binding import quote_identifier
from clickhouse_connect.driver.client import Client

from services.analytics.errors import SchemaDriftError
from services.analytics.layout import PLAIN, Layout
from services.analytics.rollups import backfill
from services.analytics.sqlfile import queries, statements

AFTERWARDS: Mapping[str, Callable[[Client], None]] = {"0005-rollups": backfill}
"""What a migration does beyond its statements, once they are applied. It may run again, as they may."""
MIGRATIONS_DIR = Path(__file__).parent / "clickhouse_migrations"


@dataclass(frozen=True, slots=True)
class Migration:
    """One file of statements."""

    name: str
    text: str

    @property
    def digest(self) -> str:
        """What is recorded of the content."""
        return sha256(self.text.encode()).hexdigest()


def migrations() -> list[Migration]:
    """All of them, in the order in which they apply."""
    return [Migration(path.stem, path.read_text("utf-8")) for path in sorted(MIGRATIONS_DIR.glob("*.sql"))]


def pending(known: Iterable[Migration], applied: dict[str, str]) -> list[Migration]:
    """Those that are not applied yet. Raises :class:`SchemaDriftError` for one that was edited after it was."""
    missing: list[Migration] = []
    for migration in known:
        digest = applied.get(migration.name)
        if digest is None:
            missing.append(migration)
        elif digest != migration.digest:
            raise SchemaDriftError(f"{migration.name} was applied with another content; restore it and add a new migration")
    return missing


def prepare(client: Client, layout: Layout = PLAIN) -> None:
    """Make every table and column, so that queries find them; what fills them is left to :func:`migrate`."""
    for migration in _missing(client, layout):
        _apply(client, migration, layout)


def migrate(client: Client, layout: Layout = PLAIN) -> list[str]:
    """Bring the schema up to date; the names of what was applied. Nobody else may insert meanwhile."""
    missing = _missing(client, layout)
    for migration in missing:
        _apply(client, migration, layout)
        AFTERWARDS.get(migration.name, _nothing)(client)
        client.insert("schema_migration", [[migration.name, migration.digest]], column_names=["name", "sha256"])
    return [migration.name for migration in missing]


def catch_up(client: Client, layout: Layout) -> None:
    """Wait until this server has what other replicas have, so that what is asked of it is true. Nothing on plain engines."""
    if layout.replicated:
        for (name,) in client.query(queries("warehouse.sql")["replicated_tables"]).result_rows:
            client.command(f"SYSTEM SYNC REPLICA {quote_identifier(name)}")


def _missing(client: Client, layout: Layout) -> list[Migration]:
    client.command(layout.of(queries("warehouse.sql")["record_of_migrations"]))
    rows = client.query(queries("warehouse.sql")["applied_migrations"]).result_rows
    applied: dict[str, str] = {name: digest for name, digest in rows}
    return pending(migrations(), applied)


def _apply(client: Client, migration: Migration, layout: Layout) -> None:
    for statement in statements(migration.text):
        client.command(layout.of(statement))


def _nothing(_: Client) -> None:
    """Most migrations are their statements alone."""
