"""A backup of a ledger in use, restored elsewhere: one instant, nothing lost, nothing twice."""

import json
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from deploy.local.backup import manifest
from deploy.local.backup.create import Source, create
from deploy.local.backup.errors import BackupError, BrokenBackupError
from deploy.local.backup.manifest import Manifest
from deploy.local.backup.restore import restore
from deploy.local.home import Home
from deploy.local.progress import Progress
from deploy.local.stack import Stack
from schemas import topics
from services.analytics.migrate import migrate as analytics_migrate
from services.edge.migrate import migrate as edge_migrate
from services.router.migrate import migrate as router_migrate
from services.settlement.checkpoint_file import read_checkpoints
from services.settlement.migrate import migrate as settlement_migrate
from tests.integration.backup.traffic import Traffic, charges, settlements, traffic
from tests.integration.settlement.audited import Story, empty_topics
from tests.integration.settlement.processes import Service, answers, contents, running, until
from tests.integration.settlement.topic_tampering import records_of

QUIET = Progress(quiet=True)
SEED = "6b" * 32
QUICK = {
    "TOLLBOOK_HOLD_GRACE_SECONDS": "0.2",
    "TOLLBOOK_SWEEP_INTERVAL_SECONDS": "0.2",
    "TOLLBOOK_CREDIT_INTERVAL_SECONDS": "0.2",
    "TOLLBOOK_SIGNING_KEY": SEED,
}
SECRETS = f"TOLLBOOK_SIGNING_KEY={SEED}\nTOLLBOOK_SECRETS_KEY={'0c' * 32}\nTOLLBOOK_ADMIN_TOKEN=admin\n"


@dataclass
class Taken:
    """A backup that was taken under traffic. `before` are the charges of what was settled before it began."""

    directory: Path
    manifest: Manifest
    before: dict[Any, int]
    going: Traffic


@contextmanager
def settlement(database_url: str, kafka: str, home: Home) -> Iterator[Service]:
    """Settlement's two processes."""
    told = QUICK | {"TOLLBOOK_CHECKPOINT_FILE": str(home.checkpoint_file)}
    with (
        running("services.settlement", home.logs / "api.log", database_url, kafka, wait="", **told) as api,
        running("services.settlement.worker", home.logs / "worker.log", database_url, kafka, **told),
    ):
        until(lambda: answers(api.client, "/readyz"))
        yield api


@pytest.fixture(scope="module")
def taken(tmp_path_factory: pytest.TempPathFactory, module_database_url: str, kafka_server: str) -> Taken:
    """A ledger with a past, backed up in the middle of traffic; its processes have ended since."""
    home = Home(tmp_path_factory.mktemp("source") / "home")
    home.make()
    home.secrets_file.write_text(SECRETS)
    (home.objects / "files").mkdir(parents=True)
    (home.objects / "files" / "content").write_bytes(b"a line of a batch\n")
    empty_topics(kafka_server)
    for migrate in (settlement_migrate, router_migrate, edge_migrate, analytics_migrate):
        migrate(module_database_url)
    with settlement(module_database_url, kafka_server, home) as api:
        Story(api, kafka_server, module_database_url).tell()
        api.top_up("busy", "100")
        with traffic(api, kafka_server) as going:
            until(lambda: going.rounds >= 10 or going.failed is not None)
            before = charges(module_database_url)
            directory = tmp_path_factory.mktemp("backups") / "first"
            made = create(source(home, module_database_url, kafka_server), directory, QUIET)
            rounds = going.rounds
            until(lambda: going.rounds >= rounds + 5 or going.failed is not None)
    assert len(charges(module_database_url)) > len(before), "the traffic went on"
    return Taken(directory, made, before, going)


def source(home: Home, database_url: str, kafka: str) -> Source:
    return Source(
        home=home,
        database_url=database_url,
        kafka_bootstrap_servers=kafka,
        told={"TOLLBOOK_ADMIN_TOKEN": "given"},
        store_url=f"file://{home.objects}",
        checkpoint_file=home.checkpoint_file,
    )


@pytest.fixture(scope="module")
def restored(taken: Taken, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The backup in a home of its own, with its engines running."""
    home = tmp_path_factory.mktemp("restored") / "home"
    stack = Stack(home, environ={**os.environ, "TOLLBOOK_HOME": str(home)}, fixed_ports=False)
    try:
        restore(taken.directory, stack, QUIET)
        stack.up([], seed=False)
        yield stack
    finally:
        stack.clean()


@pytest.fixture(scope="module")
def again(restored: Stack) -> Iterator[Story]:
    """Settlement at work on what was restored, once it has settled all that was on its way."""
    described = restored.describe()
    assert described is not None
    with settlement(described.postgres_dsn, described.kafka_bootstrap_servers, restored.home) as api:
        story = Story(api, described.kafka_bootstrap_servers, described.postgres_dsn)
        expire_open_holds(described.postgres_dsn)
        story.settled()
        yield story


def expire_open_holds(database_url: str) -> None:
    """Let the deadlines of the holds that are open pass: their routers are gone."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("set session_replication_role = replica")
        connection.execute(
            "update settlement.hold set deadline_at = clock_timestamp(), expires_at = clock_timestamp() where state = 'HELD'"
            " and holder = 'busy' and not exists (select from settlement.receipt r where r.request_id = hold.request_id)"
        )


def test_what_was_settled_before_the_backup_is_there_at_the_same_charge(taken: Taken, again: Story) -> None:
    found = charges(again.database_url)
    assert len(taken.before) > 50
    assert {request: found.get(request) for request in taken.before} == taken.before


def test_the_restored_ledger_is_sound_and_is_rebuilt_to_the_last_unit(again: Story) -> None:
    result = again.audit(kind="check")
    wrong = [each for each in result["invariants"] if each["ok"] is False]
    assert wrong == []
    assert {each["name"] for each in result["invariants"] if each["ok"]} >= {"I1", "I9", "I10", "I11", "I14"}


def test_no_request_is_settled_twice_under_two_events(again: Story) -> None:
    found = settlements(contents(again.kafka, topics.LEDGER))
    twice = {request: events for request, events in found.items() if len([e for e in events if e.startswith("Captured")]) > 1}
    assert twice == {}
    assert len(found) > len(charges(again.database_url)) / 2


def test_a_hold_that_was_open_at_the_instant_becomes_a_case(taken: Taken, again: Story) -> None:
    with psycopg.connect(again.database_url) as connection:
        rows = connection.execute(
            "select h.state, c.id is not null from settlement.hold h left join settlement.case c on c.hold_id = h.id"
            " where h.request_id = any(%s)",
            (list(taken.going.left_open),),
        ).fetchall()
    assert rows
    assert set(rows) == {("EXPIRED", True)}


@pytest.mark.parametrize("topic", [topics.ATTEMPTS, topics.LEDGER])
def test_kafka_has_every_record_below_the_instant_as_it_was(
    taken: Taken, restored: Stack, kafka_server: str, topic: str
) -> None:
    described = restored.describe()
    assert described is not None
    ends = {int(number): kept.end for number, kept in taken.manifest.topics[topic].items()}
    before = [record for record in records_of(kafka_server, topic) if record.offset < ends[record.partition]]
    after = records_of(described.kafka_bootstrap_servers, topic)
    assert raw(before) == raw([record for record in after if record.offset < ends[record.partition]])
    assert len(before) == sum(ends.values()) > 0


def raw(records: list[Any]) -> set[tuple[Any, ...]]:
    """Everything that Kafka says of the records."""
    return {(each.partition, each.offset, each.timestamp, each.key, each.value, tuple(each.headers)) for each in records}


def test_no_checkpoint_promises_more_than_the_backup_has(taken: Taken) -> None:
    sizes = [size for size, _ in read_checkpoints(taken.directory / "checkpoints.jsonl")]
    assert sizes
    assert max(sizes) <= taken.manifest.checkpoint_size


def test_secrets_and_objects_come_back_and_nobody_else_can_read_them(taken: Taken, restored: Stack) -> None:
    assert (restored.home.objects / "files" / "content").read_bytes() == b"a line of a batch\n"
    kept = restored.home.secrets_file.read_text()
    assert f"TOLLBOOK_SIGNING_KEY={SEED}" in kept
    assert "TOLLBOOK_ADMIN_TOKEN=given" in kept, "what the processes were told counts, not what lay in the home"
    modes = {stat.S_IMODE(path.stat().st_mode) for path in manifest.files_of(taken.directory)}
    assert modes == {0o600}
    folders = [taken.directory, *(path for path in taken.directory.rglob("*") if path.is_dir())]
    assert {stat.S_IMODE(path.stat().st_mode) for path in folders} == {0o700}


def test_a_home_that_has_data_is_not_overwritten(taken: Taken, restored: Stack) -> None:
    described = restored.describe()
    assert described is not None
    before = charges(described.postgres_dsn)
    with pytest.raises(BackupError, match=r"has data already .*--replace"):
        restore(taken.directory, restored, QUIET)
    assert charges(described.postgres_dsn) == before


def test_a_backup_is_not_written_over_another(
    taken: Taken, module_database_url: str, kafka_server: str, tmp_path: Path
) -> None:
    with pytest.raises(BackupError, match="exists already"):
        create(source(Home(tmp_path), module_database_url, kafka_server), taken.directory, QUIET)


@pytest.mark.parametrize("harm", ["flip", "cut", "remove", "add", "unfinished", "newer", "topic"])
def test_verify_finds_what_is_wrong_with_a_backup(taken: Taken, tmp_path: Path, harm: str) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(taken.directory, copy)
    assert manifest.verify(copy) == taken.manifest
    dump = copy / "postgres.dump"
    if harm == "flip":
        data = bytearray(dump.read_bytes())
        data[len(data) // 2] ^= 1
        dump.write_bytes(data)
    elif harm == "cut":
        dump.write_bytes(dump.read_bytes()[:-1])
    elif harm == "remove":
        next(iter(copy.glob("topics/*/*.gz"))).unlink()
    elif harm == "add":
        (copy / "stray").write_text("")
    elif harm == "unfinished":
        (copy / manifest.NAME).unlink()
    elif harm == "topic":
        named = json.loads((copy / manifest.NAME).read_text())
        named["topics"]["../../../etc"] = {"0": {"first": 0, "end": 0, "records": 0}}
        (copy / manifest.NAME).write_text(json.dumps(named))
    else:
        text = (copy / manifest.NAME).read_text()
        (copy / manifest.NAME).write_text(text.replace('"format": 1', '"format": 2'))
    with pytest.raises(BrokenBackupError):
        manifest.verify(copy)
