"""A lane under a backlog: the next batch is decided while one is posted, and nothing is posted but in order and once."""

import threading
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import uuid4

import pytest

from schemas import topics
from schemas.attempts import RequestCompleted
from schemas.calls import HoldRequest
from services.settlement.batch import Batch, Posting
from services.settlement.database import connect
from services.settlement.errors import LostLeaseError
from services.settlement.lanes import Lane
from services.settlement.leases import Leases
from services.settlement.positions import Positions
from services.settlement.records import Record
from services.settlement.settle_store import Prepared, SettleStore
from tests.integration.settlement.ledger import Ledger
from tests.integration.settlement.requests_made import attempt_on, completion, hold_for

BATCH = 2


class Store(SettleStore):
    """A store that says when it has prepared something, and does what it is told before it posts."""

    def __init__(self, *words: Any, **options: Any) -> None:
        super().__init__(*words, **options)
        self.prepared = threading.Event()
        self.batches: list[Batch] = []
        self.before_posting: list[Any] = []

    def prepare(self, batch: Batch, *, again: bool = False) -> Prepared:
        found = super().prepare(batch, again=again)
        self.batches.append(batch)
        self.prepared.set()
        return found

    def post(self, prepared: Prepared) -> None:
        if self.before_posting:
            self.before_posting.pop(0)()
        super().post(prepared)


class Backlog:
    """A lane over two stores of one lease, and records of one partition in the order in which they are added."""

    def __init__(self, ledger: Ledger, partition: int = 0) -> None:
        self.ledger, self.partition = ledger, partition
        token = uuid4().hex
        leases = Leases(topic=topics.ATTEMPTS, token=token, owner=f"test-{partition}", lease_s=600)
        self.stores = [
            Store(
                connect(ledger.url, statement_timeout_ms=20_000),
                posting=Posting(lease=token, lease_s=600, case_owner="test", case_max_age_days=1),
                book_of=ledger.books.version,
            )
            for _ in range(2)
        ]
        self.positions = Positions(leases.take(self.stores[0]._connection, [partition], starting=False))
        self.posting, self.ahead = self.stores
        self.lane = Lane(self.posting, BATCH, lambda: self.ahead)
        self.records: list[Record] = []

    def add(self, *events: RequestCompleted) -> None:
        for event in events:
            place = (self.partition, len(self.records))
            self.records.append(Record(*place, event.account_id.encode(), event.to_json(), event.type))

    def requests(self, count: int) -> list[HoldRequest]:
        asked = [hold_for("a") for _ in range(count)]
        assert {answer["status"] for answer in self.ledger.hold(*asked)} == {"held"}
        return asked

    def settle(self) -> int:
        return self.lane.settle(self.positions, self.records)

    def number(self, query: str, *parameters: Any) -> Any:
        row = self.ledger.connection.execute(query.encode(), parameters).fetchone()
        assert row is not None
        return row[0]

    def close(self) -> None:
        self.lane.close()
        for store in self.stores:
            store._connection.close()


@pytest.fixture
def backlog(funded: Ledger) -> Iterator[Backlog]:
    funded.connection.execute("update consumer_offset set lease = null, lease_until = null")
    made = Backlog(funded)
    yield made
    made.close()


def ends(requests: Sequence[HoldRequest]) -> list[RequestCompleted]:
    return [completion(each, attempts=[attempt_on(each)]) for each in requests]


def test_a_backlog_is_decided_ahead_and_posted_once_and_in_order(backlog: Backlog) -> None:
    backlog.add(*ends(backlog.requests(7)))
    assert backlog.settle() == 7
    assert [len(batch.incoming) for batch in backlog.ahead.batches] == [2, 2, 1]
    assert backlog.number("select count(*) from receipt") == 7
    assert backlog.number("select next from consumer_offset where partition = 0") == 7
    assert backlog.positions.offsets == {0: 7}
    assert backlog.settle() == 0
    backlog.ledger.assert_sound()


def test_a_batch_that_speaks_of_the_same_request_is_decided_after_the_one_before_it(backlog: Backlog) -> None:
    first, second, third = ends(backlog.requests(3))
    backlog.add(first, second, second, third)
    backlog.settle()
    assert backlog.ahead.batches == []
    assert backlog.number("select count(*) from receipt") == 3
    assert backlog.number('select count(*) from "case"') == 0
    backlog.ledger.assert_sound()


def test_what_changes_after_a_batch_was_decided_ahead_is_decided_anew(backlog: Backlog) -> None:
    requests = backlog.requests(4)
    backlog.add(*ends(requests))

    def release_meanwhile() -> None:
        """Somebody else settles a request of the batch that is decided already."""
        assert backlog.ahead.prepared.wait(60)
        other = Backlog(backlog.ledger, partition=1)
        other.add(completion(requests[2], charged=None))
        other.settle()
        other.close()

    backlog.posting.before_posting = [release_meanwhile]
    assert backlog.settle() == 4
    assert backlog.number("select status from receipt where request_id = %s", requests[2].request_id) == "released"
    assert backlog.number("select count(*) from \"case\" where kind = 'second_completion'") == 1
    backlog.ledger.assert_sound()


def test_what_was_decided_ahead_goes_with_the_batch_before_it(backlog: Backlog) -> None:
    backlog.add(*ends(backlog.requests(6)))

    def lose_the_lease() -> None:
        assert backlog.ahead.prepared.wait(60)
        backlog.ledger.connection.execute("update consumer_offset set lease = 'another', lease_until = clock_timestamp()")

    backlog.posting.before_posting = [lose_the_lease]
    with pytest.raises(LostLeaseError):
        backlog.settle()
    assert backlog.number("select count(*) from receipt") == 0
    assert backlog.positions.offsets == {0: 0}
    successor = backlog.ledger.new_worker(backlog.ledger.connection)
    successor.settle(backlog.records)
    assert backlog.number("select count(*) from receipt") == 6
    backlog.ledger.assert_sound()
