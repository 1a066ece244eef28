"""Refund against refund, chargeback against hold, expiry against capture: on one bucket at once, and the books agree."""

import asyncio
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.rows import TupleRow

from schemas.envelope import now
from services.settlement import adjustment_store, chargeback_store, credit_expiry, refund_store
from services.settlement.adjustments import Adjustment
from services.settlement.chargebacks import Chargeback
from services.settlement.database import connect
from services.settlement.errors import ConflictError, RacedError
from services.settlement.hold_store import HoldLane
from services.settlement.refunds import Refund
from tests.integration.settlement.corrections import CASES, SAID
from tests.integration.settlement.ledger import Ledger
from tests.integration.settlement.processes import until
from tests.integration.settlement.requests_made import completion, hold_for

UNIT = 1_000_000_000
Connection = psycopg.Connection[TupleRow]


def at_once(ledger: Ledger, *parts: Callable[[Connection], None]) -> None:
    """Run every part in a thread with a connection of its own, all from the same instant; fails with the first error."""
    gate, errors = threading.Barrier(len(parts)), list[BaseException]()

    def run(part: Callable[[Connection], None]) -> None:
        connection = connect(ledger.url, statement_timeout_ms=20_000)
        try:
            gate.wait(90)
            part(connection)
        except BaseException as error:  # noqa: BLE001 - the test reports it
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(part,)) for part in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert errors == []


def refund_of(request_id: UUID, amount: str | None, key: str) -> Refund:
    """A refund's body."""
    return Refund.model_validate({"account_id": "a", "request_id": request_id, "amount": amount, "key": key} | SAID)


def test_many_refunds_of_one_charge_never_exceed_it(funded: Ledger) -> None:
    request = hold_for("a")
    funded.held(request)
    funded.complete(completion(request))
    done: list[int] = []
    refused: set[str] = set()

    def give(connection: Connection) -> None:
        for _ in range(4):
            try:
                answer, _new = refund_store.refund(connection, refund_of(request.request_id, "0.0003", uuid4().hex))
                done.append(answer["amount_nano"])
            except ConflictError as error:
                refused.add(error.code)

    at_once(funded, *[give] * 6)
    assert (done, refused) == ([300_000] * 4, {"refund_exceeds_charge"})
    assert funded.balance("a") == (10 * UNIT - 1_375_000 + 1_200_000, 0)
    funded.assert_sound()


def test_one_key_refunds_once_however_many_ask(funded: Ledger) -> None:
    request = hold_for("a")
    funded.held(request)
    funded.complete(completion(request))
    answers: list[tuple[str, bool]] = []

    def give(connection: Connection) -> None:
        answer, new = refund_store.refund(connection, refund_of(request.request_id, "0.0003", "one key"))
        answers.append((answer["txn_id"], new))

    at_once(funded, *[give] * 8)
    assert len({txn for txn, _ in answers}) == 1
    assert [new for _, new in answers].count(True) == 1
    assert funded.balance("a") == (10 * UNIT - 1_375_000 + 300_000, 0)
    funded.assert_sound()


def test_whoever_waits_while_all_is_refunded_under_the_same_key_gets_the_stored_answer(funded: Ledger) -> None:
    request = hold_for("a")
    funded.held(request)
    funded.complete(completion(request))
    answers: list[tuple[str, bool]] = []

    def give(connection: Connection) -> None:
        answer, new = refund_store.refund(connection, refund_of(request.request_id, None, "one key"))
        answers.append((answer["txn_id"], new))

    with funded.connection.transaction():
        # All of them have looked, and wait for the bucket, when the first may post.
        funded.connection.execute("select account from bucket_balance where holder = 'a' for update")
        threads = [threading.Thread(target=at_once, args=(funded, *[give] * 6))]
        threads[0].start()
        until(lambda: funded.rows("select count(*) = 6 as waiting from pg_locks where not granted")[0]["waiting"])
    threads[0].join(120)
    assert len(answers) == 6
    assert len({txn for txn, _ in answers}) == 1
    assert [new for _, new in answers].count(True) == 1
    assert funded.balance("a") == (10 * UNIT, 0)
    funded.assert_sound()


def test_a_chargeback_and_holds_never_take_the_same_money(ledger: Ledger) -> None:
    for number in range(12):
        ledger.top_up("a", "credit", "0.01", payment_id=f"p{number}")
    granted: list[dict[str, Any]] = []

    def hold(_: Connection) -> None:
        lane = HoldLane(
            ledger.url, books=ledger.books, stop=ledger.frozen.stop, default_output=4096, floor_output=256, timeout_ms=20_000
        )

        async def place() -> None:
            for _number in range(30):
                granted.extend(await lane.place([hold_for("a"), hold_for("a")]))
            await lane.close()

        asyncio.run(place())

    def take(connection: Connection) -> None:
        for number in range(12):
            body = {"provider": "bank", "payment_id": f"p{number}", "dispute_id": f"d{number}"} | SAID
            chargeback_store.charge_back(connection, Chargeback.model_validate(body), CASES)

    at_once(ledger, hold, take)
    row = ledger.rows("select posted, held, overrun from bucket_balance")[0]
    held = sum(each["amount_nano"] for each in granted if each["status"] == "held")
    assert row["held"] == held == row["posted"]
    assert row["overrun"] == row["posted"]
    ledger.assert_sound()


def test_credit_expires_or_is_captured_and_never_both(ledger: Ledger) -> None:
    ledger.top_up("a", "credit", "1")
    requests = [hold_for("a") for _ in range(40)]
    ledger.promote("a", "credit", "0.5", now() + timedelta(hours=1))
    for answer in ledger.hold(*requests):
        assert answer["status"] == "held"
    account = ledger.rows("select account from credit")[0]["account"]
    over = now() + timedelta(hours=2)
    expired: list[int] = []

    def capture(connection: Connection) -> None:
        worker = ledger.new_worker(connection)
        for request in requests:
            record = ledger.record(completion(request))
            while True:
                try:
                    worker.settle([record])
                    break
                except RacedError:
                    worker = ledger.new_worker(connection)

    def expire(connection: Connection) -> None:
        for _ in range(30):
            expired.extend(nano for _, nano in credit_expiry.expire_credit(connection, account, now=over))

    def correct(connection: Connection) -> None:
        for number in range(30):
            body = {"account_id": "a", "bucket": "credit", "amount": "0.001" if number % 2 else "-0.001", "key": uuid4().hex}
            adjustment_store.adjust(connection, Adjustment.model_validate(body | SAID), ledger.books.in_force)

    at_once(ledger, capture, expire, expire, correct)
    expired.extend(nano for _, nano in ledger.expire_promotions(over))
    spent = 40 * 1_375_000
    assert sum(expired) + spent + ledger.balance("a")[0] == UNIT * 3 // 2
    assert ledger.rows("select sum(left_nano)::bigint as left, sum(expired_nano)::bigint as expired from credit_lot") == [
        {"left": 0, "expired": sum(expired)}
    ]
    ledger.assert_sound()


@pytest.mark.parametrize("sweepers", [4])
def test_two_sweepers_expire_a_part_once(funded: Ledger, sweepers: int) -> None:
    funded.promote("a", "credit", "2", now() + timedelta(hours=1))
    account = funded.rows("select account from credit")[0]["account"]
    parts: list[tuple[UUID, int]] = []

    def expire(connection: Connection) -> None:
        parts.extend(credit_expiry.expire_credit(connection, account, now=now() + timedelta(hours=2)))

    at_once(funded, *[expire] * sweepers)
    assert [nano for _, nano in parts] == [2 * UNIT]
    assert funded.balance("a") == (10 * UNIT, 0)
    funded.assert_sound()
