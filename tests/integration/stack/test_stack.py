"""The one-machine stack: what `up`, `down` and `clean` promise, whatever happened before."""

import os
import signal
import socket
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg
import pytest

from deploy.local.environment import own
from deploy.local.errors import NotReadyError, StackError
from deploy.local.home import Home, home_of, read_json, write_private
from deploy.local.orphans import find
from deploy.local.ports import free_port
from deploy.local.processes import SERVICES
from deploy.local.readiness import Check, port_open, wait
from deploy.local.stack import Stack
from deploy.local.supervision import Supervisor
from deploy.local.supervisor_config import Program, render

ONLY = ["provider"]
DEADLINE_S = 90.0


@contextmanager
def _stack(**environ: str) -> Iterator[Stack]:
    """A stack in a home of its own, away from the ports of a person's stack."""
    directory = Path(tempfile.mkdtemp(prefix="tollbook-stack-"))
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TOLLBOOK_")}
    stack = Stack(directory, environ=inherited | environ, fixed_ports=False)
    try:
        yield stack
    finally:
        stack.clean()


@pytest.fixture
def stack() -> Iterator[Stack]:
    with _stack() as made:
        yield made


@pytest.fixture(scope="module")
def running() -> Iterator[Stack]:
    """A stack that is up, for tests that leave it so."""
    with _stack() as made:
        made.up(ONLY)
        yield made


def _remember(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute("CREATE TABLE memory AS SELECT 42 AS answer")


def _recall(dsn: str) -> int:
    with psycopg.connect(dsn) as connection:
        row = connection.execute("SELECT answer FROM memory").fetchone()
    assert row is not None
    return int(row[0])


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _pids(stack: Stack) -> dict[str, int]:
    return {name: info.pid for name, info in stack.status().items()}


def test_data_and_ports_survive_down_and_up(stack: Stack) -> None:
    first = stack.up(ONLY)
    _remember(first.postgres_dsn)
    stack.down()
    stack.down()
    assert stack.describe() is None
    assert find(stack.home) == []
    assert stack.up(ONLY) == first
    assert _recall(first.postgres_dsn) == 42


def test_up_of_a_running_stack_changes_nothing(running: Stack) -> None:
    before = _pids(running)
    assert running.up(ONLY) == running.describe()
    assert _pids(running) == before


def test_up_starts_again_what_was_stopped(running: Stack) -> None:
    running.stop("provider")
    assert running.pid("provider") is None
    running.up(ONLY)
    assert running.pid("provider") is not None


def test_up_recovers_when_everything_was_killed(stack: Stack) -> None:
    described = stack.up(ONLY)
    _remember(described.postgres_dsn)
    for process in [*map(psutil.Process, find(stack.home)), psutil.Process(stack.pid("postgres"))]:
        process.send_signal(signal.SIGKILL)
    assert stack.describe() is None
    assert _recall(stack.up(ONLY).postgres_dsn) == 42


def test_up_ends_what_a_killed_supervisor_left_running(stack: Stack) -> None:
    stack.up(ONLY)
    orphans = set(_pids(stack).values())
    os.kill(int(stack.home.supervisor_pid.read_text()), signal.SIGKILL)
    stack.up(ONLY)
    assert orphans.isdisjoint(_pids(stack).values())


@pytest.mark.parametrize("name", ["postgres", "kafka", "provider"])
def test_a_killed_process_comes_back_by_itself(running: Stack, name: str) -> None:
    before = running.pid(name)
    running.kill9(name)
    _until(lambda: running.pid(name) not in {None, before})
    running.wait_ready(name)


def test_a_taken_port_is_left_alone(stack: Stack) -> None:
    stack.up(ONLY)
    earlier = stack.ports()
    stack.down()
    with socket.create_server(("127.0.0.1", earlier["provider"])):
        stack.up(ONLY)
    assert stack.ports()["provider"] != earlier["provider"]
    assert {**stack.ports(), "provider": 0} == {**earlier, "provider": 0}


def test_engines_of_somebody_else_are_used_and_not_started(postgres_server: str, kafka_server: str) -> None:
    with _stack(DATABASE_URL=postgres_server, KAFKA_BOOTSTRAP_SERVERS=kafka_server) as stack:
        described = stack.up(ONLY)
        assert set(stack.status()) == {"provider"}
    assert (described.postgres_dsn, described.kafka_bootstrap_servers) == (postgres_server, kafka_server)


def test_stack_json_has_its_contract_and_is_private(running: Stack) -> None:
    keys = ["edge", "router", "settlement", "analytics", "console", "provider", "clickhouse"]
    expected = {f"{key}_url" for key in keys} | {"postgres_dsn", "kafka_bootstrap_servers", "admin_token", "demo"}
    expected.add("signing_public_key")
    assert set(read_json(running.home.stack_file)) == expected
    for secret in (running.home.stack_file, running.home.secrets_file, running.home.supervisor_config):
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600


def test_clean_removes_everything_of_ours_and_nothing_else(stack: Stack) -> None:
    stack.up(ONLY)
    foreign = stack.home.path / "letter.txt"
    foreign.write_text("not Tollbook's")
    stack.clean()
    assert list(stack.home.path.iterdir()) == [foreign]
    foreign.unlink()
    stack.clean()
    assert not stack.home.path.exists()
    assert not stack.home.outside.exists()


def test_a_home_with_a_long_path_works_and_one_that_postgres_cannot_enter_too(tmp_path: Path) -> None:
    stack = Stack(tmp_path / ("long" * 25), fixed_ports=False)
    tmp_path.chmod(0o700)
    try:
        described = stack.up(ONLY)
        _remember(described.postgres_dsn)
        stack.down()
        assert _recall(stack.up(ONLY).postgres_dsn) == 42
    finally:
        stack.clean()
    assert not stack.home.outside.exists()
    assert not stack.home.supervisor_socket.exists()


def test_a_process_that_cannot_run_is_named_with_the_end_of_its_log(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.make()
    command = ["/bin/sh", "-c", "echo the disk is full; exit 1"]
    program = Program(name="broken", group=SERVICES, command=command, directory=tmp_path, environment=own(home, "broken", 1))
    write_private(home.supervisor_config, render(home, [program]))
    supervisor = Supervisor(home)
    supervisor.launch(dict(os.environ))
    try:
        supervisor.start("broken")
        with pytest.raises(NotReadyError, match=r"(?s)broken did not get ready.*the disk is full"):
            wait(home, supervisor, [Check(process="broken", probe=port_open(free_port()))])
    finally:
        supervisor.shutdown()


def test_a_migration_that_was_killed_does_not_stop_the_next(stack: Stack) -> None:
    described = stack.up(["edge"], seed=False)
    with psycopg.connect(described.postgres_dsn) as connection:
        connection.execute("INSERT INTO edge.yoyo_lock (locked, ctime, pid) VALUES (1, now(), 1)")
    stack.down()
    stack.up(["edge"], seed=False)


def test_a_failed_up_leaves_nothing_running() -> None:
    with _stack(DATABASE_URL="postgresql://nobody@127.0.0.1:1/none") as stack:
        with pytest.raises(StackError):
            stack.up(["settlement"])
        assert stack.status() == {}
        assert find(stack.home) == []


def test_an_unknown_process_is_refused_before_anything_starts(stack: Stack) -> None:
    with pytest.raises(StackError, match="no such process: nosuch"):
        stack.up(["nosuch"])
    assert stack.status() == {}


def test_the_home_is_the_named_one_or_the_checkouts() -> None:
    assert home_of({"TOLLBOOK_HOME": "/srv/tollbook"}).path == Path("/srv/tollbook")
    assert home_of({}).path.name == ".tollbook"
