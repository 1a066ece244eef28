"""The sealer in the worker process, killed without warning; its promises on the topic, in the file and in the ledger."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from deploy.local.ports import free_port
from schemas import topics
from services.settlement.checkpoint_file import read_checkpoints
from services.settlement.migrate import migrate
from tests.integration.settlement.processes import TOKENS, Service, complete, contents, running, until
from tests.integration.settlement.requests_made import completion, hold_for
from tests.integration.settlement.sealing import KEY

SEED = "5e" * 32
ROUNDS = 4


@pytest.fixture(scope="module")
def migrated_url(module_database_url: str) -> str:
    """A database with settlement's tables."""
    migrate(module_database_url)
    return module_database_url


@pytest.fixture(scope="module")
def api(migrated_url: str, kafka_bootstrap_servers: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The API beside the worker."""
    log = tmp_path_factory.mktemp("settlement") / "api.log"
    with running("services.settlement", log, migrated_url, kafka_bootstrap_servers, TOLLBOOK_SIGNING_KEY=SEED) as service:
        service.top_up("a", "100")
        yield service


def request(api: Service, kafka: str, count: int) -> None:
    """Requests that are to be settled."""
    holds = [hold_for("a") for _ in range(count)]
    api.hold(*holds)
    complete(kafka, [completion(hold) for hold in holds])


def waiting(url: str) -> int:
    """What is not posted or not sealed yet, and whether a checkpoint is missing."""
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "select (select count(*) from settlement.hold where state = 'HELD')"
            " + (select count(*) from settlement.seal_pending) + (select count(*) from settlement.seal)"
            " - (select coalesce(max(size), 0) from settlement.seal_checkpoint)"
            " + (select count(*) from settlement.outbox)"
        ).fetchone()
    assert row is not None
    return int(row[0])


def check(url: str, kafka: str, file: Path) -> subprocess.CompletedProcess[str]:
    """The check command, with the public key and everything that is kept outside of the database."""
    environment = os.environ | TOKENS | {"DATABASE_URL": url, "KAFKA_BOOTSTRAP_SERVERS": kafka}
    environment |= {"TOLLBOOK_CHECKPOINT_FILE": str(file), "TOLLBOOK_FORMER_SIGNING_KEYS": KEY.public.raw.hex()}
    command = [sys.executable, "-m", "services.settlement.check"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_the_check_says_what_to_set_where_it_has_no_database() -> None:
    bare = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    command = [sys.executable, "-m", "services.settlement.check"]
    done = subprocess.run(command, env=bare, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("set DATABASE_URL")
    assert done.stderr.count("\n") == 1


def test_a_sealer_that_is_killed_again_and_again_loses_and_repeats_nothing(
    api: Service, migrated_url: str, kafka_bootstrap_servers: str, tmp_path: Path
) -> None:
    file = tmp_path / "checkpoints"
    settings = {"TOLLBOOK_SIGNING_KEY": SEED, "TOLLBOOK_CHECKPOINT_FILE": str(file), "TOLLBOOK_SEAL_BATCH": "7"}
    settings |= {"TOLLBOOK_SEAL_INTERVAL_SECONDS": "0.05", "TOLLBOOK_LEASE_SECONDS": "1"}
    for _ in range(ROUNDS):
        request(api, kafka_bootstrap_servers, 60)
        with running(
            "services.settlement.worker", tmp_path / "log", migrated_url, kafka_bootstrap_servers, **settings
        ) as worker:
            until(file.exists, lambda: worker.log.read_text("utf-8"))
            size = file.stat().st_size
            until(lambda seen=size: file.stat().st_size > seen or waiting(migrated_url) == 0)  # type: ignore[misc]
            worker.process.send_signal(signal.SIGKILL)
            worker.process.wait()
    with running("services.settlement.worker", tmp_path / "log", migrated_url, kafka_bootstrap_servers, **settings) as worker:
        until(lambda: waiting(migrated_url) == 0, lambda: worker.log.read_text("utf-8"))
        assert worker.stop() == 0
    done = check(migrated_url, kafka_bootstrap_servers, file)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "I11" in done.stdout
    assert "not compared" not in done.stdout + done.stderr
    silent = check(migrated_url, f"127.0.0.1:{free_port()}", file)
    assert silent.returncode == 3, silent.stdout + silent.stderr
    (line,) = [line for line in silent.stdout.splitlines() if line.startswith("I11")]
    assert line.endswith(": not compared")
    published = [
        event["data"] for event in contents(kafka_bootstrap_servers, topics.LEDGER) if event["type"] == "CheckpointPublished"
    ]
    kept = dict(read_checkpoints(file))
    assert {data["size"]: data["note"] for data in published} == kept
    assert len(kept) > ROUNDS
    with psycopg.connect(migrated_url) as connection:
        connection.execute("set session_replication_role = replica")
        connection.execute("update settlement.txn set holder = 'b' where kind = 'capture' and holder = 'a'")
    done = check(migrated_url, kafka_bootstrap_servers, file)
    assert done.returncode == 1
    assert "is not what was sealed" in done.stdout
