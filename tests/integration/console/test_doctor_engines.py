"""The doctor looks at real engines: what is broken on purpose is found."""

import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from schemas.topics import Topic
from services.console.doctor import engine_verdicts, kafka_look, machine_look
from services.console.doctor.expected import migration_files, role_of
from services.console.doctor.postgres_look import Seen
from services.console.errors import UnreachableError
from services.router.migrate import migrate as migrate_router
from services.settlement.migrate import migrate

DEADLINE_S = 90
SERVICES_DIR = Path(__file__).parents[3] / "services"


@pytest.fixture
def owner(database_url: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """The owner of a database with settlement's tables and router's."""
    migrate(database_url)
    migrate_router(database_url)
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


def test_what_is_wrong_with_a_database_is_seen(owner: psycopg.Connection[tuple[object, ...]], database_url: str) -> None:
    files = {"settlement": migration_files(SERVICES_DIR)["settlement"]}
    seen = Seen.at(database_url)
    assert [each.status for each in engine_verdicts.migrations(files, seen.applied)] == ["ok"]
    assert (seen.roles.crossing, seen.roles.rewriting) == ((), ())
    assert [each.status for each in engine_verdicts.migrations({"edge": ["1"]}, seen.applied)] == ["fail"]

    last = files["settlement"][-1]
    owner.execute("DELETE FROM settlement._yoyo_migration WHERE migration_id = %s", [last])
    owner.execute("GRANT USAGE ON SCHEMA settlement TO tollbook_router")
    owner.execute("GRANT UPDATE ON settlement.posting TO tollbook_settlement")
    owner.execute(f"ALTER DATABASE {owner.info.dbname} SET synchronous_commit = off")
    broken = Seen.at(database_url)
    [missing] = engine_verdicts.migrations(files, broken.applied)
    assert (missing.status, last in missing.why) == ("fail", True)
    assert broken.roles.crossing == ((role_of("router"), "settlement"),)
    assert broken.roles.rewriting == ("posting",)
    [commit] = engine_verdicts.postgres_settings(broken.settings)
    assert (commit.status, "synchronous_commit is off" in commit.why) == ("fail", True)


def test_a_database_that_is_not_there_is_said(database_url: str) -> None:
    with pytest.raises(UnreachableError, match="Postgres cannot be looked at"):
        Seen.at(database_url.rsplit("/", 1)[0] + "/no_such_database_here")


async def make_topic(servers: str, name: str, **settings: str) -> None:
    """A topic of two partitions with these settings."""
    client = AIOKafkaAdminClient(bootstrap_servers=servers)
    await client.start()
    try:
        named = {each.replace("_", "."): value for each, value in settings.items()}
        await client.create_topics([NewTopic(name, 2, 1, topic_configs=named)])
        end = time.monotonic() + DEADLINE_S
        while name not in await client.list_topics():
            assert time.monotonic() < end, "the topic is there"
    finally:
        await client.close()


@pytest.fixture
async def short_lived(kafka_bootstrap_servers: str) -> str:
    """A topic that keeps a day, under a name of its own."""
    name = f"doctor.{uuid4().hex}"
    await make_topic(kafka_bootstrap_servers, name, retention_ms="86400000", cleanup_policy="delete")
    return name


def test_what_is_wrong_with_a_topic_is_seen(short_lived: str, kafka_bootstrap_servers: str) -> None:
    wanted = {
        name: Topic(
            **{"name": name, "description": "", "producers": [], "consumers": [], "key": "", "events": []},
            **{"partitions": 2, "retention_ms": -1, "cleanup_policy": "delete"},
        )
        for name in (short_lived, f"{short_lived}.missing")
    }
    seen, brokers = kafka_look.look(kafka_bootstrap_servers, wanted)
    found = engine_verdicts.kafka_topics(wanted, seen, brokers)
    assert [each.status for each in found] == ["fail", "fail"]
    assert f"there is no topic {short_lived}.missing" in found[0].why
    assert "86400000 ms only" in found[1].why
    as_it_is = {short_lived: wanted[short_lived].model_copy(update={"retention_ms": 86_400_000})}
    assert [each.status for each in engine_verdicts.kafka_topics(as_it_is, seen, brokers)] == ["ok"]


def test_a_kafka_that_is_not_there_is_said() -> None:
    with pytest.raises(UnreachableError, match=r"Kafka does not answer at 127\.0\.0\.1:9"):
        kafka_look.look("127.0.0.1:9", ["t"])


def test_a_port_where_nothing_listens_is_said_with_its_service() -> None:
    [finding] = machine_look.ports({"edge_url": "http://127.0.0.1:9"})
    assert (finding.status, "nothing listens for edge at 127.0.0.1:9" in finding.why) == ("fail", True)
    assert machine_look.ports({})[0].status == "skip"


def test_room_and_java_are_looked_at_for_a_stack_of_this_machine_alone(tmp_path: Path) -> None:
    embedded = {"kafka_bootstrap_servers": "127.0.0.1:9092"}
    assert machine_look.disk(None)[0].status == machine_look.java(embedded, None)[0].status == "skip"
    assert machine_look.java(embedded, tmp_path)[0].status == "skip"
    (tmp_path / "kafka").mkdir()
    assert machine_look.java(embedded, tmp_path)[0].status == "ok"
    assert "GiB are free" in machine_look.disk(tmp_path)[0].why
