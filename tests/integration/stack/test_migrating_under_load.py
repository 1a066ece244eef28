"""A migration that waits for a busy table does not hold up those who work with it."""

import os
import time
from concurrent.futures import Future, ThreadPoolExecutor

import psycopg
import pytest
from yoyo import get_backend, read_migrations
from yoyo.migrations import MigrationList

from deploy.local import migrations
from deploy.local.errors import StepFailedError
from deploy.local.processes import select
from services.edge.migrate import MIGRATIONS_DIR, yoyo_url

LAST = "0009-who-vouches-for-a-token"
"""It gives `access_token` a column, and with it a lock that nobody else can have beside it."""
WORK = "UPDATE edge.access_token SET name = name"


@pytest.fixture
def before(database_url: str) -> str:
    """A database as the release before that migration left it."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA edge")
    backend = get_backend(yoyo_url(database_url))
    try:
        backend.apply_migrations(MigrationList(each for each in read_migrations(str(MIGRATIONS_DIR)) if each.id < LAST))
    finally:
        backend.connection.close()
    return database_url


def migrate(database_url: str) -> list[str]:
    """As an upgrade does."""
    return migrations.run(select(["edge"]), os.environ | {"DATABASE_URL": database_url})


def until_it_waits(connection: psycopg.Connection[tuple[object, ...]], running: "Future[list[str]]") -> None:
    """Until the migration waits for the table's lock."""
    waiting = "SELECT count(*) FROM pg_locks WHERE relation = 'edge.access_token'::regclass AND NOT granted"
    while connection.execute(waiting).fetchone() == (0,):
        assert not running.done(), running.result()
        time.sleep(0.02)


def test_who_works_with_a_table_is_let_through_while_a_reader_keeps_a_migration_waiting(before: str) -> None:
    with (
        ThreadPoolExecutor() as threads,
        psycopg.connect(before) as reader,
        psycopg.connect(before, autocommit=True, options="-c statement_timeout=60s") as worker,
    ):
        reader.execute("SELECT count(*) FROM edge.access_token")
        running = threads.submit(migrate, before)
        for _ in range(2):  # it comes again
            until_it_waits(worker, running)
            worker.execute(WORK)
        reader.rollback()
        running.result(timeout=120)
        assert worker.execute("SELECT count(vouched_for) FROM edge.access_token").fetchone() == (0,)


def test_a_table_that_never_gets_free_ends_the_upgrade_with_the_reason(before: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrations, "PATIENCE_S", 0.0)
    with psycopg.connect(before) as reader:
        reader.execute("SELECT count(*) FROM edge.access_token")
        with pytest.raises(StepFailedError, match="lock timeout"):
            migrate(before)
    assert migrate(before) is not None


def test_a_migration_that_cannot_work_is_not_tried_again(before: str) -> None:
    with psycopg.connect(before, autocommit=True) as connection:
        connection.execute("DROP TABLE edge.access_token")
    with pytest.raises(StepFailedError, match="access_token"):
        migrate(before)
