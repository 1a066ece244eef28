"""Accounts, projects and keys as edge announces them, for rigs without edge: settlement limits only what it knows."""

from aiokafka import AIOKafkaProducer

from schemas import topics
from schemas.control import ControlRecord


def records(account_id: str, *, project_id: str | None = None, key_id: str | None = None) -> list[ControlRecord]:
    """What edge says of a new account, of its project and of its key."""
    found = [ControlRecord(kind="account", entity_id=account_id, version=1, account_id=account_id)]
    if project_id is not None:
        found.append(ControlRecord(kind="project", entity_id=project_id, version=1, account_id=account_id))
    if key_id is not None:
        found.append(
            ControlRecord(kind="key", entity_id=key_id, version=1, account_id=account_id, project_id=project_id or "project-1")
        )
    return found


async def announce(kafka: str, *told: ControlRecord) -> None:
    """Write them to the control topic."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka, acks="all", enable_idempotence=True)
    await producer.start()
    try:
        for record in told:
            await producer.send_and_wait(topics.CONTROL, record.to_json(), key=record.key.encode())
    finally:
        await producer.stop()
