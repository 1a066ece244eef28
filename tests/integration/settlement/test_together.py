"""Everything that moves money at once, on one account: nothing deadlocks for good, nothing is lost, the books agree."""

import asyncio
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
from psycopg.rows import TupleRow

from schemas.calls import HoldProgress, HoldRequest, ProgressBatch
from schemas.envelope import now
from schemas.money import Usage
from schemas.requests import KeyRef
from services.settlement import expiry_store, limit_store, topup_store
from services.settlement.book_store import BookStore
from services.settlement.database import connect
from services.settlement.errors import ConflictError, InvalidError, RacedError
from services.settlement.hold_progress import renew
from services.settlement.hold_store import HoldLane
from services.settlement.money_in import LimitChange, TopUp
from services.settlement.records import Record
from services.settlement.statement_store import read_statement
from tests.integration.settlement.corrections import Corrections
from tests.integration.settlement.ledger import Ledger
from tests.integration.settlement.requests_made import attempt_on, completion, hold_for

KEYS = [KeyRef(project_id=f"p{n % 2}", key_id=f"k{n}") for n in range(3)]
SETTLED = 600


class OwnCorrections(Corrections):
    """Corrections over a connection of one's own."""

    def __init__(self, connection: psycopg.Connection[TupleRow], books: BookStore) -> None:
        self.connection = connection
        self.books = books


class Crowd:
    """Threads that work on one account until the settling is done."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.open: list[HoldRequest] = []
        self.settled: list[HoldRequest] = []
        self.payments: list[str] = []
        self.lock = threading.Lock()
        self.done = threading.Event()
        self.errors: list[BaseException] = []
        self.refused: set[str] = set()

    def run(self, *parts: Callable[[psycopg.Connection[TupleRow], random.Random], None]) -> None:
        """Run each part again and again in a thread with a connection of its own; `settle` ends them."""
        threads = [threading.Thread(target=self._loop, args=(part, seed)) for seed, part in enumerate(parts)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        assert self.errors == []

    def _loop(self, part: Callable[[psycopg.Connection[TupleRow], random.Random], None], seed: int) -> None:
        with self._connection() as connection:
            dice = random.Random(seed)
            try:
                while not self.done.is_set():
                    part(connection, dice)
            except BaseException as error:  # noqa: BLE001 - the test reports it
                self.errors.append(error)
                self.done.set()

    @contextmanager
    def _connection(self) -> Iterator[psycopg.Connection[TupleRow]]:
        connection = connect(self.ledger.url, statement_timeout_ms=20_000)
        try:
            yield connection
        finally:
            connection.close()

    def place(self, _: psycopg.Connection[TupleRow], dice: random.Random) -> None:
        """Holds over a lane of its own, some of them overdue at once."""
        lane = HoldLane(
            self.ledger.url,
            books=self.ledger.books,
            stop=self.ledger.frozen.stop,
            default_output=4096,
            floor_output=256,
            timeout_ms=20_000,
        )

        async def some() -> None:
            while not self.done.is_set():
                with self.lock:
                    waiting = len(self.open)
                if waiting > 100:
                    await asyncio.sleep(0.01)
                    continue
                batch = [self._request(dice) for _ in range(dice.randint(1, 5))]
                answers = await lane.place(batch)
                with self.lock:
                    self.open += [request for request, answer in zip(batch, answers, strict=True) if answer["status"] == "held"]
            await lane.close()

        asyncio.run(some())

    def _request(self, dice: random.Random) -> HoldRequest:
        deadline = now() + timedelta(seconds=dice.choice([-1, 60]))
        return hold_for("a", key=dice.choice(KEYS), max_output_tokens=dice.randint(1, 100), deadline_at=deadline)

    def top_up(self, connection: psycopg.Connection[TupleRow], dice: random.Random) -> None:
        """Payments."""
        payment = uuid4().hex
        asked = TopUp(account_id="a", bucket="credit", amount=f"0.{dice.randint(1, 9)}", provider="bank", payment_id=payment)
        topup_store.top_up(connection, asked, self.ledger.books.in_force)
        self.payments.append(payment)

    def correct(self, connection: psycopg.Connection[TupleRow], dice: random.Random) -> None:
        """Refunds, adjustments, promotions that are soon over, chargebacks: those that do not apply are refused."""
        mine = OwnCorrections(connection, self.ledger.books)
        steps: list[Callable[[], object]] = [
            lambda: mine.adjust("a", "credit", dice.choice(["0.01", "-0.01", "-5"])),
            lambda: mine.promote("a", "credit", "0.05", now() + timedelta(milliseconds=dice.randint(20, 300))),
            mine.expire_promotions,
        ]
        if self.settled:
            request = dice.choice(self.settled)
            steps += [lambda: mine.refund("a", request.request_id, dice.choice([None, "0.0001"]))] * 3
        if self.payments:
            steps.append(lambda: mine.charge_back(dice.choice(self.payments), dice.choice([None, "0.05"])))
        try:
            dice.choice(steps)()
        except (ConflictError, InvalidError) as error:
            self.refused.add(error.code)

    def limit(self, connection: psycopg.Connection[TupleRow], dice: random.Random) -> None:
        """Limits: new ones, changed ones, removed ones."""
        kind = dice.choice(["account", "project", "key"])
        key = dice.choice(KEYS)
        entity = {"account": "a", "project": key.project_id, "key": key.key_id}[kind]
        change: dict[str, Any] = {"account_id": "a", "kind": kind, "id": entity, "currency": "USD"}
        change |= {"window": dice.choice(["total", "day", "month"]), "limit": dice.choice([None, "5", "100"])}
        limit_store.set_limit(connection, LimitChange.model_validate(change), author="test")

    def stream(self, connection: psycopg.Connection[TupleRow], dice: random.Random) -> None:
        """Signs of life."""
        ids = self._some(dice, 5)
        if not ids:
            return
        signs = [
            HoldProgress(hold_id=each, deadline_at=now(), input_tokens=5, output_tokens=dice.randint(0, 50)) for each in ids
        ]
        renew(connection, ProgressBatch(holds=signs))

    def expire(self, connection: psycopg.Connection[TupleRow], dice: random.Random) -> None:
        """The sweeper's part."""
        ids = self._some(dice, 3)
        if ids:
            expiry_store.expire_holds(
                connection, ids, grace_s=0, book_of=self.ledger.books.version, case_owner="t", case_max_age_days=1
            )

    def settle(self, connection: psycopg.Connection[TupleRow], dice: random.Random) -> None:
        """The worker: completes what was held, some of it above its hold."""
        worker, settled = self.ledger.new_worker(connection), 0
        while settled < SETTLED and not self.done.is_set():
            with self.lock:
                taken, self.open = self.open[:10], self.open[10:]
            if not taken:
                time.sleep(0.005)
                continue
            records = [self._record(request, dice) for request in taken]
            while True:
                try:
                    worker.settle(records)
                    break
                except RacedError:
                    worker = self.ledger.new_worker(connection)
            settled += len(taken)
            self.settled += taken
        self.done.set()

    def _record(self, request: HoldRequest, dice: random.Random) -> Record:
        usage = Usage(input_tokens=dice.randint(0, 500), output_tokens=dice.randint(0, 120))
        event = completion(request, attempts=[attempt_on(request, usage=usage)], charged=dice.choice([1, 1, None]))
        return self.ledger.record(event)

    def _some(self, dice: random.Random, count: int) -> list[UUID]:
        with self.lock:
            return [request.hold_id for request in dice.sample(self.open, min(count, len(self.open)))]


def test_corrections_among_everything_else_leave_the_books_in_order(ledger: Ledger) -> None:
    ledger.top_up("a", "credit", "20")
    crowd = Crowd(ledger)
    crowd.run(crowd.settle, crowd.place, crowd.top_up, crowd.limit, crowd.correct, crowd.correct, crowd.expire)
    kinds = {row["kind"] for row in ledger.rows("select distinct kind from txn")}
    assert kinds >= {"capture", "refund", "adjustment", "promotion", "credit_expiry", "chargeback"}
    assert crowd.refused <= {
        *("refund_exceeds_charge", "nothing_to_refund", "not_settled", "several_charges"),
        *("insufficient_balance", "chargeback_exceeds_payment", "invalid_expiry"),
    }
    ledger.expire_promotions(now() + timedelta(days=1))
    ledger.assert_sound()
    statement = read_statement(ledger.connection, "a", f"{now():%Y-%m}", None, now=now())
    assert [section.closing_nano for section in statement.sections] == [ledger.balance("a")[0]]


def test_everything_at_once_leaves_the_books_in_order(ledger: Ledger) -> None:
    ledger.top_up("a", "credit", "1")
    crowd = Crowd(ledger)
    crowd.run(crowd.settle, crowd.place, crowd.place, crowd.top_up, crowd.limit, crowd.stream, crowd.expire)
    assert ledger.count("receipt") >= SETTLED
    assert ledger.rows("select count(*) > 0 as some from envelope_window") == [{"some": True}]
    ledger.assert_sound()
