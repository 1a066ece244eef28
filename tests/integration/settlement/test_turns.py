"""One at a time, and a frozen process does not keep its turn."""

import threading
import time
from collections.abc import Iterator
from functools import partial

import psycopg
import pytest
from psycopg.rows import TupleRow

from services.settlement.database import connect
from services.settlement.migrate import migrate
from services.settlement.turns import take_turn

Connection = psycopg.Connection[TupleRow]
LONG_S, SHORT_S = 600.0, 0.2


@pytest.fixture(scope="module")
def url(module_database_url: str) -> str:
    """A database with settlement's schema: the locks are named after it."""
    migrate(module_database_url)
    return module_database_url


@pytest.fixture
def sessions(url: str) -> Iterator[list[Connection]]:
    opened = [connect(url, statement_timeout_ms=20_000) for _ in range(3)]
    yield opened
    for connection in opened:
        connection.close()


def until_taken(connection: Connection, name: str, silent_s: float) -> None:
    """Ask as a standby does, again and again."""
    deadline = time.monotonic() + 90
    while not take_turn(connection, name, silent_s=silent_s):
        assert time.monotonic() < deadline, "the turn was never given up"
        time.sleep(0.02)


def test_a_turn_is_one_sessions_until_it_ends(sessions: list[Connection]) -> None:
    first, second, _ = sessions
    assert take_turn(first, "a")
    assert not take_turn(second, "a", silent_s=LONG_S)
    assert take_turn(second, "b")
    assert first.execute("select 1").fetchone() == (1,)
    first.close()
    until_taken(second, "a", LONG_S)


def test_a_holder_that_has_been_silent_for_too_long_loses_its_session_and_the_turn(sessions: list[Connection]) -> None:
    frozen, waiting, bystander = sessions
    assert take_turn(frozen, "c")
    assert take_turn(bystander, "d")
    until_taken(waiting, "c", SHORT_S)
    with pytest.raises(psycopg.OperationalError):
        frozen.execute("select 1")
    assert bystander.execute("select 1").fetchone() == (1,), "silent too, but it has another turn"


def test_a_holder_that_is_silent_within_a_transaction_loses_it_too(sessions: list[Connection]) -> None:
    frozen, waiting, _ = sessions
    assert take_turn(frozen, "e")
    frozen.execute("begin")
    until_taken(waiting, "e", SHORT_S)
    with pytest.raises(psycopg.OperationalError):
        frozen.execute("select 1")


def test_a_holder_that_waits_for_a_statement_keeps_its_turn(sessions: list[Connection]) -> None:
    busy, waiting, watch = sessions
    assert take_turn(busy, "f")
    statement = threading.Thread(target=partial(_until_cancelled, busy))
    statement.start()
    pid = busy.info.backend_pid
    while watch.execute("select state from pg_stat_activity where pid = %s", [pid]).fetchone() != ("active",):
        time.sleep(0.01)
    assert not take_turn(waiting, "f", silent_s=0.0)
    assert watch.execute("select pg_cancel_backend(%s)", [pid]).fetchone() == (True,)
    statement.join()
    assert busy.execute("select 1").fetchone() == (1,)


def _until_cancelled(connection: Connection) -> None:
    with pytest.raises(psycopg.errors.QueryCanceled):
        connection.execute("select pg_sleep(60)")
