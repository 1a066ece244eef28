"""The ways in which what analytics needs goes away, each as a block: away within it, back after it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

from tests.integration.analytics.clickhouse_process import ClickHouse

Way = Callable[[ClickHouse], AbstractContextManager[None]]
KAFKA, POSTGRES = "java", "postgres"


@contextmanager
def refusing(clickhouse: ClickHouse) -> Iterator[None]:
    """Nobody listens."""
    clickhouse.kill()
    yield
    clickhouse.start()


@contextmanager
def hanging(clickhouse: ClickHouse) -> Iterator[None]:
    """Connections are accepted, and nothing is answered; what was sent is carried out afterwards."""
    clickhouse.send(signal.SIGSTOP)
    yield
    clickhouse.send(signal.SIGCONT)


@contextmanager
def failing(clickhouse: ClickHouse) -> Iterator[None]:
    """Every call is answered with status 500."""
    clickhouse.send(signal.SIGUSR1)
    yield
    clickhouse.send(signal.SIGUSR1)


@contextmanager
def killed_within_an_insert(clickhouse: ClickHouse) -> Iterator[None]:
    """Killed while it carries out an insert, and started again on the same directory."""
    clickhouse.send(signal.SIGUSR2)
    assert clickhouse.wait() == -signal.SIGKILL
    yield
    clickhouse.start()


@contextmanager
def frozen(name: str, _: ClickHouse) -> Iterator[None]:
    """Every process of an engine that this process started stands still: connections stay, and nothing is answered."""
    pids = [pid for pid in _descendants(os.getpid()) if _name_of(pid) == name]
    assert pids, f"no process {name}"
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    yield
    for pid in pids:
        os.kill(pid, signal.SIGCONT)


CLICKHOUSE_WAYS: dict[str, Way] = {
    "ClickHouse refuses connections": refusing,
    "ClickHouse hangs": hanging,
    "ClickHouse answers 500": failing,
    "ClickHouse killed within an insert": killed_within_an_insert,
}
OTHER_WAYS: dict[str, Way] = {
    "Postgres hangs": partial(frozen, POSTGRES),
    "Kafka hangs": partial(frozen, KAFKA),
}


def _descendants(pid: int) -> list[int]:
    children = [int(found) for path in Path(f"/proc/{pid}/task").glob("*/children") for found in path.read_text().split()]
    return children + [below for child in children for below in _descendants(child)]


def _name_of(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()
