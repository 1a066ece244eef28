"""Each running service logs in to Postgres as itself: what it may not do is refused by the database, not by its code."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from psycopg.errors import InsufficientPrivilege

from deploy.local.processes import MIGRATIONS, PROCESSES
from deploy.local.stack import Stack

pytestmark = pytest.mark.stack

WRITTEN_ONCE = ("posting", "txn", "balance_move", "price_book", "inbox")
SCHEMAS = ("settlement", "router", "edge", "analytics")


def environment_of(running: Stack, name: str) -> dict[str, str]:
    """The environment with which a process runs."""
    return psutil.Process(running.pid(name)).environ()


def login_of(running: Stack, name: str) -> psycopg.Connection[Any]:
    """A connection with what the running process connects with."""
    return psycopg.connect(environment_of(running, name)["DATABASE_URL"], autocommit=True)


@pytest.mark.parametrize("process", ["settlement", "settlement-worker"])
@pytest.mark.parametrize("table", WRITTEN_ONCE)
def test_settlements_own_login_cannot_rewrite_what_is_written_once(running: Stack, process: str, table: str) -> None:
    with login_of(running, process) as connection:
        for statement in (f"delete from settlement.{table}", f"truncate settlement.{table}", f"drop table settlement.{table}"):
            with pytest.raises(InsufficientPrivilege):
                connection.execute(statement.encode())
        with pytest.raises(InsufficientPrivilege):
            connection.execute(f"alter table settlement.{table} disable trigger all".encode())
        with pytest.raises(InsufficientPrivilege):
            connection.execute(f"select from settlement.{table} for update".encode())


def test_settlements_own_login_cannot_change_an_amount(running: Stack) -> None:
    with login_of(running, "settlement") as connection:
        assert connection.execute("select count(*) > 0 from settlement.posting").fetchone() == (True,)
        with pytest.raises(InsufficientPrivilege) as refused:
            connection.execute("update settlement.posting set amount = amount + 1")
        assert refused.value.sqlstate == "42501"


@pytest.mark.parametrize("service", SCHEMAS)
def test_no_service_sees_into_anothers_schema(running: Stack, service: str) -> None:
    with login_of(running, service) as connection:
        for schema in SCHEMAS:
            seen = connection.execute("select has_schema_privilege(%s, 'usage')", (schema,)).fetchone()
            assert seen == (schema == service,), schema
        other = "edge.api_key" if service == "settlement" else "settlement.posting"
        with pytest.raises(InsufficientPrivilege):
            connection.execute(f"select from {other}".encode())


def test_every_process_has_its_own_services_login_and_nobody_the_owners(running: Stack, described: dict[str, Any]) -> None:
    owner = conninfo_to_dict(described["postgres_dsn"])
    for process in PROCESSES:
        environment = environment_of(running, process.name)
        assert str(owner["password"]) not in "\n".join(environment.values()), process.name
        if process.service in MIGRATIONS:
            assert conninfo_to_dict(environment["DATABASE_URL"])["user"] == f"{process.service}_login"
        else:
            assert "DATABASE_URL" not in environment


def test_the_passwords_are_in_no_file_that_others_can_read(running: Stack) -> None:
    passwords = {
        str(conninfo_to_dict(environment_of(running, process.name)["DATABASE_URL"])["password"])
        for process in PROCESSES
        if process.service
    }
    assert len(passwords) == len(MIGRATIONS)
    texts = dict(_read_by_others(Path(running.home.path)))
    assert len(texts) > 5
    assert [path for path, text in texts.items() if any(password in text for password in passwords)] == []


def _read_by_others(home: Path) -> Iterator[tuple[Path, str]]:
    """The texts of files that others than their owner may read, without those that the engines remove meanwhile."""
    for directory, _, names in os.walk(home):
        for path in (Path(directory, name) for name in names):
            with contextlib.suppress(FileNotFoundError):
                if path.is_file() and path.stat().st_mode & 0o077 and path.suffix in {".log", ".json", ".conf", ""}:
                    yield path, path.read_text(errors="replace")
