"""Accounts, projects and keys as edge announces them, for rigs without edge: settlement takes money only for what it knows."""

import asyncio
import re
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import httpx
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from schemas import topics
from schemas.control import ControlRecord

POSITION = re.compile(r"^tollbook_settlement_control_position (\S+)$", re.MULTILINE)
HEARD_S = 90.0


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


async def announce(kafka: str, *told: ControlRecord) -> int:
    """Write them to the control topic; the offset after the last of them."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka, acks="all", enable_idempotence=True)
    await producer.start()
    try:
        sent = [await producer.send(topics.CONTROL, record.to_json(), key=record.key.encode()) for record in told]
        return int(max(written.offset for written in await asyncio.gather(*sent))) + 1
    finally:
        await producer.stop()


def tell(kafka: str, settlement_url: str, *told: ControlRecord) -> None:
    """Write them to the control topic, from code that may run within an event loop, and wait until settlement has read them."""
    deadline = time.monotonic() + HEARD_S
    end = _written(kafka, told, deadline)
    while _position(settlement_url) < end:
        assert time.monotonic() < deadline, f"settlement did not read the control topic up to {end}"
        time.sleep(0.02)


def new_accounts(kafka: str, settlement_url: str, count: int) -> list[str]:
    """Ids of accounts that nobody has used and settlement has heard of."""
    made = [f"acc-{uuid4().hex[:12]}" for _ in range(count)]
    tell(kafka, settlement_url, *(record for account_id in made for record in records(account_id)))
    return made


def _written(kafka: str, told: Sequence[ControlRecord], deadline: float) -> int:
    """Announce them; again where a broker of a busy machine did not answer in time, as saying it twice changes nothing."""
    with ThreadPoolExecutor(1) as threads:
        while True:
            try:
                return threads.submit(asyncio.run, announce(kafka, *told)).result()
            except KafkaError:
                if time.monotonic() >= deadline:
                    raise


def _position(settlement_url: str) -> float:
    try:
        metrics = httpx.get(f"{settlement_url.rstrip('/')}/metrics", trust_env=False, timeout=HEARD_S).text
    except httpx.TransportError:
        return 0.0
    found = POSITION.search(metrics)
    return float(found[1]) if found else 0.0
