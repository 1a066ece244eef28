"""The control topic names every account, project and key, and whose it is: those that are made, and those that were there."""

import asyncio
from pathlib import Path
from uuid import uuid4

import psycopg
from aiokafka import AIOKafkaProducer

from schemas import topics
from schemas.control import ControlRecord
from tests.integration.edge.peers import Peers
from tests.integration.edge.processes import EdgeProcess, Key, running_edge, until
from tests.integration.edge.topic_reader import read_topic


def named(kafka: str, *ids: str) -> list[ControlRecord]:
    """What the topic says of these entities, in order."""
    records = [ControlRecord.model_validate_json(one.value) for one in read_topic(kafka, topics.CONTROL) if one.value]
    return [record for record in records if record.entity_id in ids]


def test_what_is_made_is_announced_with_whose_it_is(edge: EdgeProcess, key: Key, kafka_bootstrap_servers: str) -> None:
    ids = (key.account_id, key.project_id, key.key_id)
    until(lambda: len(named(kafka_bootstrap_servers, *ids)) == 3, lambda: named(kafka_bootstrap_servers, *ids))
    told = {(one.kind, one.entity_id, one.account_id, one.project_id) for one in named(kafka_bootstrap_servers, *ids)}
    assert told == {
        ("account", key.account_id, key.account_id, None),
        ("project", key.project_id, key.account_id, None),
        ("key", key.key_id, key.account_id, key.project_id),
    }
    edge.admin(f"/projects/{key.project_id}/freeze")
    until(lambda: named(kafka_bootstrap_servers, key.project_id)[-1].frozen)
    assert named(kafka_bootstrap_servers, key.project_id)[-1].account_id == key.account_id


def test_what_an_alert_froze_is_announced_with_the_alert_until_it_is_unfrozen_and_a_persons_words_are_not(
    edge: EdgeProcess, key: Key, kafka_bootstrap_servers: str
) -> None:
    def latest(version: int) -> ControlRecord:
        """What the topic says of the key at that version."""
        until(lambda: any(one.version == version for one in named(kafka_bootstrap_servers, key.key_id)))
        return next(one for one in named(kafka_bootstrap_servers, key.key_id) if one.version == version)

    path, why = f"/keys/{key.key_id}", "rule runaway, alert 0199: 400,000 tokens/min exceeded 200,000"
    first = edge.admin(f"{path}/freeze", {"author": "alert:runaway", "reason": why}).raise_for_status().json()["version"]
    assert (latest(first).frozen, latest(first).reason) == (True, why)
    edge.admin(f"{path}/unfreeze").raise_for_status()
    assert (latest(first + 1).frozen, latest(first + 1).reason) == (False, None)
    edge.admin(f"{path}/freeze", {"author": "ada", "reason": "seen in a log"}).raise_for_status()
    assert (latest(first + 2).frozen, latest(first + 2).reason) == (True, None)


def test_what_the_topic_does_not_name_is_announced_when_an_edge_starts(
    *, tmp_path: Path, edge: EdgeProcess, migrated_url: str, kafka_bootstrap_servers: str, peers: Peers
) -> None:
    old = _made_before_entities_were_announced(migrated_url)
    asyncio.run(
        _say_as_before(kafka_bootstrap_servers, ControlRecord(kind="key", entity_id=old.key_id, version=7, frozen=True))
    )
    known = edge.new_key()
    until(lambda: named(kafka_bootstrap_servers, known.key_id) != [])
    with running_edge(tmp_path / "log", migrated_url, kafka_bootstrap_servers, peers.url):
        ids = (old.account_id, old.project_id, old.key_id)
        until(lambda: len(named(kafka_bootstrap_servers, *ids)) == 4, lambda: named(kafka_bootstrap_servers, *ids))
    latest = named(kafka_bootstrap_servers, old.key_id)[-1]
    assert (latest.account_id, latest.project_id) == (old.account_id, old.project_id)
    assert (latest.version, latest.frozen, latest.revoked) == (7, True, False)
    assert len(named(kafka_bootstrap_servers, known.key_id)) == 1  # what the topic names already is not said again


def _made_before_entities_were_announced(url: str) -> Key:
    old = Key("", uuid4().hex[:12], f"prj_{uuid4().hex}", f"acc_{uuid4().hex}")
    with psycopg.connect(url) as connection:
        connection.execute("INSERT INTO edge.account (account_id, name) VALUES (%s, 'old')", [old.account_id])
        connection.execute(
            "INSERT INTO edge.project (project_id, account_id, name) VALUES (%s, %s, 'old')", [old.project_id, old.account_id]
        )
        connection.execute(
            "INSERT INTO edge.api_key (key_id, project_id, name, environment, secret_hmac, pepper_version, frozen, version) "
            "VALUES (%s, %s, 'old', 'default', %s, 1, true, 7)",
            [old.key_id, old.project_id, bytes(32)],
        )
    return old


async def _say_as_before(kafka: str, record: ControlRecord) -> None:
    async with AIOKafkaProducer(bootstrap_servers=kafka) as producer:
        value = record.model_dump_json(exclude={"account_id", "project_id", "reason"}).encode()
        await producer.send_and_wait(topics.CONTROL, value=value, key=record.key.encode())
