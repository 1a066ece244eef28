"""Settlement's API and worker as processes of their own, on the test's Postgres and Kafka."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from deploy.local.ports import free_port
from schemas import topics
from schemas.attempts import RequestCompleted
from schemas.calls import HoldBatch, HoldRequest
from schemas.topics import topics as described
from tests.announced import records, tell
from tests.logins import as_service

PRICES = Path(__file__).parents[3] / "deploy" / "catalog" / "prices.yaml"
TOKENS = {"TOLLBOOK_ADMIN_TOKEN": "admin", "TOLLBOOK_EDGE_TOKEN": "edge", "TOLLBOOK_ROUTER_TOKEN": "router"}
START_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 90.0


@dataclass(frozen=True)
class Service:
    """A running process with its HTTP side."""

    process: subprocess.Popen[bytes]
    client: httpx.Client
    log: Path
    kafka: str
    announced: set[str] = field(default_factory=set)

    def call(self, method: str, path: str, *, token: str = "admin", **fields: Any) -> httpx.Response:
        """A call with one of the tokens."""
        return self.client.request(method, path, headers={"authorization": f"Bearer {token}"}, **fields)

    def hold(self, *requests: HoldRequest) -> list[dict[str, Any]]:
        """The answers to a batch of holds."""
        reply = self.call("POST", "/internal/holds", token="router", content=HoldBatch(holds=list(requests)).to_json())
        assert reply.status_code == 200, reply.text
        answers: list[dict[str, Any]] = reply.json()["results"]
        return answers

    def top_up(self, account: str, amount: str = "10", bucket: str = "credit") -> None:
        """A payment of its own, into an account that edge has announced."""
        self.announce(account)
        body = {
            "account_id": account,
            "bucket": bucket,
            "amount": amount,
            "provider": "bank",
            "payment_id": f"{account}-{bucket}",
        }
        self.call("POST", "/admin/topups", json=body).raise_for_status()

    def announce(self, *accounts: str) -> None:
        """Say of accounts that they exist, as edge would, once for each."""
        new = [record for account in accounts if account not in self.announced for record in records(account)]
        if new:
            tell(self.kafka, str(self.client.base_url), *new)
            self.announced.update(accounts)

    def balance(self, account: str) -> tuple[int, int]:
        """(posted, held) of the account's credit."""
        row = self.call("GET", f"/internal/accounts/{account}/balances", token="edge").json()["data"][0]
        return row["posted_nano"], row["held_nano"]

    def stop(self) -> int:
        """SIGTERM, and the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_TIMEOUT_S)


@contextmanager
def running(module: str, log: Path, database_url: str, kafka: str, **settings: str) -> Iterator[Service]:
    """Run a module of settlement until the block ends; ready when it begins, unless `wait=""` is given.

    It logs in as settlement does, to the database that the owner's URL names.
    """
    wait = settings.pop("wait", "/readyz")
    port = str(free_port())
    environment = os.environ | TOKENS | {"TOLLBOOK_PRICE_BOOK_FILE": str(PRICES)} | settings
    environment |= {"DATABASE_URL": as_service(database_url, "settlement")}
    environment |= {"KAFKA_BOOTSTRAP_SERVERS": kafka, "TOLLBOOK_PORT": port}
    with log.open("ab") as output:
        process = subprocess.Popen([sys.executable, "-m", module], env=environment, stdout=output, stderr=output)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            service = Service(process, client, log, kafka)
            if wait:
                until(lambda: answers(client, wait), lambda: log.read_text("utf-8"), timeout_s=START_TIMEOUT_S)
            yield service
    finally:
        process.kill()
        process.wait(STOP_TIMEOUT_S)


def answers(client: httpx.Client, path: str) -> bool:
    """Whether the path answers 200."""
    try:
        return client.get(path).status_code == 200
    except httpx.TransportError:
        return False


def until(condition: Callable[[], bool], report: Callable[[], object] = lambda: "", *, timeout_s: float = 90.0) -> None:
    """Poll until the condition holds; fails with the report at the deadline."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"it did not come to pass: {report()}"
        time.sleep(0.02)


def publish(kafka: str, topic: str, records: Sequence[tuple[str, str, bytes]]) -> None:
    """Write (key, type, value) records, acknowledged by all."""

    async def send() -> None:
        producer = AIOKafkaProducer(bootstrap_servers=kafka, acks="all", enable_idempotence=True)
        await producer.start()
        try:
            for key, kind, value in records:
                await producer.send(topic, value, key=key.encode(), headers=[("type", kind.encode())])
            await producer.flush()
        finally:
            await producer.stop()

    asyncio.run(send())


def complete(kafka: str, events: Sequence[RequestCompleted]) -> None:
    """Write completions as router does."""
    publish(kafka, topics.ATTEMPTS, [(event.account_id, event.type, event.to_json()) for event in events])


def contents(kafka: str, topic: str) -> list[dict[str, Any]]:
    """Every event in a topic, from its beginning to its end as it is now."""

    async def read() -> list[dict[str, Any]]:
        consumer = AIOKafkaConsumer(bootstrap_servers=kafka, enable_auto_commit=False, auto_offset_reset="earliest")
        await consumer.start()
        try:
            partitions = [TopicPartition(topic, each) for each in range(described()[topic].partitions)]
            consumer.assign(partitions)
            ends = await consumer.end_offsets(partitions)
            found: list[dict[str, Any]] = []
            while any([await consumer.position(each) < ends[each] for each in partitions]):
                for records in (await consumer.getmany(timeout_ms=500)).values():
                    found += [orjson.loads(record.value) for record in records]
            return found
        finally:
            await consumer.stop()

    return asyncio.run(read())
