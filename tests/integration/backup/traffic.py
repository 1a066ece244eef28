"""Requests that go on while a backup is taken: held, completed and settled by settlement's real processes."""

import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import UUID

import psycopg

from schemas.envelope import new_id
from tests.integration.settlement.processes import Service, complete
from tests.integration.settlement.requests_made import completion, hold_for

HELD_AT_ONCE = 8
LEFT_OPEN_EVERY = 5
"""Of so many holds one is never completed by this process: it has to expire where it was restored."""


@dataclass
class Traffic:
    """What was asked for. `stop` ends it; an error of it is raised when the block ends."""

    api: Service
    kafka: str
    account: str = "busy"
    rounds: int = 0
    left_open: set[UUID] = field(default_factory=set)
    stop: threading.Event = field(default_factory=threading.Event)
    failed: Exception | None = None

    def run(self) -> None:
        """Hold, complete and pay, without a pause."""
        try:
            while not self.stop.is_set():
                self._round()
        except Exception as error:  # noqa: BLE001 - told to the test that waits for the thread
            self.failed = error

    def _round(self) -> None:
        holds = [hold_for(self.account) for _ in range(HELD_AT_ONCE)]
        assert {answer["status"] for answer in self.api.hold(*holds)} == {"held"}
        done = [hold for number, hold in enumerate(holds, 1) if number % LEFT_OPEN_EVERY]
        self.left_open |= {hold.request_id for hold in holds} - {hold.request_id for hold in done}
        complete(self.kafka, [completion(hold) for hold in done])
        body = {
            "account_id": self.account,
            "bucket": "credit",
            "amount": "0.01",
            "provider": "bank",
            "payment_id": str(new_id()),
        }
        self.api.call("POST", "/admin/topups", json=body).raise_for_status()
        self.rounds += 1


@contextmanager
def traffic(api: Service, kafka: str) -> Iterator[Traffic]:
    """Traffic until the block ends."""
    going = Traffic(api, kafka)
    thread = threading.Thread(target=going.run)
    thread.start()
    try:
        yield going
    finally:
        going.stop.set()
        thread.join()
    if going.failed:
        raise going.failed


def charges(database_url: str) -> dict[UUID, int]:
    """What each settled request was charged."""
    with psycopg.connect(database_url) as connection:
        return dict(connection.execute("SELECT request_id, charge_nano FROM settlement.receipt").fetchall())


def settlements(events: list[dict[str, object]]) -> dict[str, set[str]]:
    """By request, the distinct events of the ledger's topic that settled it."""
    found: dict[str, set[str]] = defaultdict(set)
    for event in events:
        if event["type"] in {"Captured", "Released", "Expired"}:
            found[f"{event['request_id']}"].add(f"{event['type']} {event['event_id']}")
    return found
