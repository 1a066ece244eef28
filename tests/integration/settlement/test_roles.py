"""What settlement's own login and an auditor's may do, and what the database refuses them (42501), whatever triggers say."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege
from psycopg.rows import TupleRow

from services.settlement.database import connect
from services.settlement.migrate import migrate
from services.settlement.roles import separate
from tests import engines
from tests.integration.settlement.ledger import TIMEOUT_MS, Ledger
from tests.logins import as_service

WRITTEN_ONCE = ("txn", "posting", "balance_move", "price_book", "inbox")
BEYOND_ROWS = ("TRUNCATE", "REFERENCES", "TRIGGER", "MAINTAIN")
GRANTED = """
    select c.relname, p.privilege
    from pg_class c, unnest(%s::text[]) as p (privilege)
    where c.relnamespace = 'settlement'::regnamespace and c.relkind = 'r' and has_table_privilege(%s, c.oid, p.privilege)
"""
GUARDED = "select distinct event_object_table from information_schema.triggers where action_statement ~ 'refuse_change'"


@pytest.fixture
def owner(funded: Ledger) -> Iterator[psycopg.Connection[TupleRow]]:
    """The connection of the tables' owner."""
    with connect(funded.owner_url, statement_timeout_ms=TIMEOUT_MS) as connection:
        yield connection


@pytest.fixture
def auditor(funded: Ledger) -> Iterator[psycopg.Connection[TupleRow]]:
    """The connection of an auditor's login."""
    with connect(as_service(funded.owner_url, "auditor"), statement_timeout_ms=TIMEOUT_MS) as connection:
        yield connection


@pytest.fixture(scope="module")
def migrated(module_database_url: str) -> Iterator[psycopg.Connection[TupleRow]]:
    """Settlement's connection to a database that was migrated."""
    migrate(module_database_url)
    with connect(as_service(module_database_url, "settlement"), statement_timeout_ms=TIMEOUT_MS) as connection:
        yield connection


@pytest.fixture(scope="module")
def untouched_server() -> Iterator[str]:
    """The administrator's URL of a server on which nobody has made a role yet."""
    with engines.postgres_dsn() as dsn:
        yield dsn


def granted(connection: psycopg.Connection[TupleRow], role: str, *privileges: str) -> set[str]:
    """The tables on which a role has at least one of the privileges."""
    return {str(table) for table, _ in connection.execute(GRANTED, (list(privileges), role)).fetchall()}


@pytest.mark.parametrize("table", WRITTEN_ONCE)
def test_settlement_cannot_change_or_remove_what_is_written_once(funded: Ledger, table: str) -> None:
    column = funded.rows("select column_name as name from information_schema.columns where table_name = %s limit 1", table)
    name = column[0]["name"]
    for statement in (f"update {table} set {name} = {name}", f"delete from {table}", f"truncate {table}"):
        with pytest.raises(InsufficientPrivilege):
            funded.connection.execute(statement.encode())


@pytest.mark.parametrize(
    "statement",
    [
        "alter table posting disable trigger posting_insert_only",
        "drop trigger posting_insert_only on posting",
        "alter table posting drop constraint posting_pkey",
        "drop table posting",
        "create table settlement.mine (a integer)",
        "create table public.mine (a integer)",
        "create schema mine",
        "create or replace function settlement.refuse_change() returns trigger language plpgsql as 'begin return null; end'",
        "create role mine",
        "set session_replication_role = replica",
        "alter system set fsync = off",
        "copy posting to program 'true'",
        "update _yoyo_migration set migration_id = migration_id",
        "set role pg_write_all_data",
    ],
)
def test_settlement_defines_nothing_and_switches_nothing_off(migrated: psycopg.Connection[TupleRow], statement: str) -> None:
    with pytest.raises(InsufficientPrivilege):
        migrated.execute(statement.encode())


def test_whatever_a_trigger_keeps_from_changes_the_role_may_only_insert(
    funded: Ledger, owner: psycopg.Connection[TupleRow]
) -> None:
    written_once = {str(table) for (table,) in owner.execute(GUARDED).fetchall()} | set(WRITTEN_ONCE)
    assert written_once & granted(owner, "tollbook_settlement", "UPDATE", "DELETE") == set()
    assert written_once <= granted(owner, "tollbook_settlement", "INSERT")


def test_no_role_may_more_than_read_and_write_rows(funded: Ledger, owner: psycopg.Connection[TupleRow]) -> None:
    for role in ("tollbook_settlement", "tollbook_auditor"):
        assert granted(owner, role, *BEYOND_ROWS) == set()
        row = owner.execute(
            "select rolcanlogin, rolsuper, rolcreaterole, rolcreatedb, rolbypassrls from pg_roles where rolname = %s", (role,)
        ).fetchone()
        assert row == (False,) * 5


def test_an_auditor_reads_all_of_the_ledger_and_changes_nothing(
    funded: Ledger, auditor: psycopg.Connection[TupleRow], owner: psycopg.Connection[TupleRow]
) -> None:
    everything = granted(owner, "tollbook_settlement", "SELECT")
    assert granted(owner, "tollbook_auditor", "SELECT") == everything
    assert granted(owner, "tollbook_auditor", "INSERT", "UPDATE", "DELETE") == set()
    assert auditor.execute("select count(*) from posting").fetchone() == (4,)
    with pytest.raises(InsufficientPrivilege):
        auditor.execute("insert into account (name, kind, currency, normal_side) values ('x', 'revenue', 'USD', 'credit')")


def test_a_table_of_a_later_migration_is_granted_by_its_kind(funded: Ledger, owner: psycopg.Connection[TupleRow]) -> None:
    owner.execute("create table later (a integer)")
    owner.execute("create table later_final (a integer)")
    owner.execute(
        "create trigger later_final_insert_only before update or delete on later_final execute function refuse_change()"
    )
    with pytest.raises(InsufficientPrivilege):
        funded.connection.execute("select from later")
    assert separate(owner) is None
    funded.connection.execute("insert into later values (1)")
    funded.connection.execute("update later set a = 2")
    funded.connection.execute("insert into later_final values (1)")
    for statement in ("delete from later", "update later_final set a = 2"):
        with pytest.raises(InsufficientPrivilege):
            funded.connection.execute(statement.encode())


def test_a_privilege_that_was_given_by_hand_is_taken_back(funded: Ledger, owner: psycopg.Connection[TupleRow]) -> None:
    owner.execute("grant update on posting to tollbook_settlement")
    assert separate(owner) is None
    with pytest.raises(InsufficientPrivilege):
        funded.connection.execute("update posting set amount = 1")


def test_without_the_right_to_make_roles_it_works_unseparated_and_one_line_says_what_to_do(
    untouched_server: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with psycopg.connect(untouched_server, autocommit=True) as administrator:
        administrator.execute("create role plain login password 'plain'")
        administrator.execute("create database plain owner plain")
    plain = untouched_server.replace("//tollbook:", "//plain:").replace(":tests@", ":plain@").replace("/postgres", "/plain")
    assert migrate(plain) > 0
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert "CREATE ROLE tollbook_settlement" in told[0]
    with connect(plain, statement_timeout_ms=TIMEOUT_MS) as connection:
        assert connection.execute("select count(*) from posting").fetchone() == (0,)
    with psycopg.connect(untouched_server, autocommit=True) as administrator:
        administrator.execute("create role tollbook_settlement")
        administrator.execute("create role tollbook_auditor")
    assert migrate(plain) == 0
    assert capsys.readouterr().err == ""
    with psycopg.connect(untouched_server, autocommit=True) as administrator:
        administrator.execute("drop database plain")
        administrator.execute("drop role tollbook_settlement, tollbook_auditor, plain")


def test_many_databases_of_one_server_may_migrate_at_once(untouched_server: str) -> None:
    names = [f"many_{number}" for number in range(4)]
    with psycopg.connect(untouched_server, autocommit=True) as administrator:
        for name in names:
            administrator.execute(f"create database {name}".encode())
    urls = [untouched_server.replace("/postgres", f"/{name}") for name in names]
    with ThreadPoolExecutor(len(urls)) as pool:
        assert all(applied > 0 for applied in pool.map(migrate, urls))
    for url in urls:
        with connect(as_service(url, "settlement"), statement_timeout_ms=TIMEOUT_MS) as connection:
            assert connection.execute("select count(*) from posting").fetchone() == (0,)
