"""A dead letter that can be read by now is settled once, in the transaction that marks it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from psycopg.rows import TupleRow

from schemas.attempts import RequestCompleted
from schemas.calls import HoldRequest
from schemas.envelope import now
from services.settlement import records, redriving
from services.settlement.database import connect
from services.settlement.errors import NotFoundError, RacedError
from services.settlement.records import Record
from services.settlement.redriving import Place, RedriveOrder, Redriver
from tests.integration.settlement.ledger import Ledger
from tests.integration.settlement.requests_made import attempt_on, completion, hold_for

ALL = RedriveOrder(author="ada")


@contextmanager
def stricter_code(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The code of another day, to which every completion was too large."""
    with monkeypatch.context() as patched:
        patched.setattr(records, "MAX_PAYLOAD_BYTES", 10)
        yield


def redriver(ledger: Ledger, connection: psycopg.Connection[TupleRow] | None = None) -> Redriver:
    return Redriver(connection or ledger.connection, book_of=ledger.books.version, case_owner="test", case_max_age_days=1)


def set_aside(ledger: Ledger, monkeypatch: pytest.MonkeyPatch, *events: RequestCompleted) -> list[Record]:
    """The events as dead letters, in their order."""
    letters = [ledger.record(event) for event in events]
    with stricter_code(monkeypatch):
        ledger.worker.settle(letters)
    assert ledger.count("dead_letter") >= len(letters)
    return letters


def held(ledger: Ledger, count: int) -> list[HoldRequest]:
    holds = [hold_for("a") for _ in range(count)]
    for hold in holds:
        ledger.held(hold)
    return holds


def test_a_letter_that_can_be_read_by_now_is_settled_once(funded: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    [hold] = held(funded, 1)
    set_aside(funded, monkeypatch, completion(hold))
    assert redriver(funded).run(ALL) == {"outcomes": {"capture": 1}, "next": None}
    after = funded.balance("a")
    assert after[1] == 0
    assert redriver(funded).run(ALL) == {"outcomes": {}, "next": None}
    assert funded.balance("a") == after
    [row] = funded.rows("select redriven_by, outcome, tries from dead_letter")
    assert row == {"redriven_by": "ada", "outcome": "capture", "tries": 0}
    assert funded.receipt("a", hold.request_id)["status"] == "settled"
    funded.assert_sound()


def test_what_is_poison_still_stays_with_its_tries_and_todays_reason(funded: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    [hold] = held(funded, 1)
    unpriced = completion(hold, attempts=[attempt_on(hold, upstream_model="unheard-of")])
    set_aside(funded, monkeypatch, unpriced)
    funded.worker.settle([funded.record(completion(hold), b"{")])
    for tries in (1, 2):
        assert redriver(funded).run(ALL)["outcomes"] == {"still_poison": 2}
        rows = funded.rows('select reason, tries, redriven_at from dead_letter order by "offset"')
        assert [(row["reason"], row["tries"], row["redriven_at"]) for row in rows] == [
            ("unpriced", tries, None),
            ("unreadable", tries, None),
        ]
    assert funded.count("txn") == funded.rows("select count(*) as n from txn where kind = 'topup'")[0]["n"]
    funded.assert_sound()


def test_one_letter_or_those_of_a_reason_are_redriven_alone(funded: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    holds = held(funded, 3)
    letters = set_aside(funded, monkeypatch, *(completion(hold) for hold in holds))
    funded.connection.execute("update dead_letter set reason = 'other' where \"offset\" = %s", (letters[2].offset,))
    alone = ALL.model_copy(update={"partition": 0, "offset": letters[1].offset})
    assert redriver(funded).run(alone)["outcomes"] == {"capture": 1}
    with pytest.raises(NotFoundError, match="waits"):
        redriver(funded).run(alone)
    assert redriver(funded).run(ALL.model_copy(update={"reason": "other"}))["outcomes"] == {"capture": 1}
    assert redriver(funded).run(ALL)["outcomes"] == {"capture": 1}


def test_many_letters_are_redriven_page_by_page(funded: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    set_aside(funded, monkeypatch, *(completion(hold) for hold in held(funded, 5)))
    order, outcomes = ALL.model_copy(update={"limit": 2}), []
    while True:
        reply = redriver(funded).run(order)
        outcomes.append(reply["outcomes"])
        if reply["next"] is None:
            break
        order = order.model_copy(update={"after": tuple(reply["next"])})
    assert outcomes == [{"capture": 2}, {"capture": 2}, {"capture": 1}]


def test_usage_whose_hold_has_expired_meanwhile_goes_to_write_off(funded: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    hold = hold_for("a", deadline_at=now() - timedelta(minutes=5))
    funded.held(hold)
    set_aside(funded, monkeypatch, completion(hold))
    funded.expire(hold.hold_id)
    before = funded.balance("a")
    assert redriver(funded).run(ALL)["outcomes"] == {"late_usage": 1}
    assert funded.balance("a") == before
    funded.assert_sound()


def test_a_letter_whose_event_was_settled_meanwhile_posts_nothing(funded: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    repeated, other, forged = held(funded, 3)
    first, second, third = completion(repeated), completion(other), completion(forged)
    other_data = third.data.model_copy(update={"latency_ms": 99.0})
    set_aside(funded, monkeypatch, first, second, third.model_copy(update={"data": other_data}))
    funded.complete(first, completion(other), third)
    before = funded.balance("a")
    outcomes = redriver(funded).run(ALL)["outcomes"]
    assert outcomes == {"repeat": 1, "second_completion": 1, "payload_mismatch": 1}
    assert funded.balance("a") == before
    funded.assert_sound()


def test_two_redrivings_and_the_worker_at_once_settle_each_event_once(funded: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    events = [completion(hold) for hold in held(funded, 60)]
    set_aside(funded, monkeypatch, *events)
    outcomes: list[dict[str, int]] = []
    errors: list[BaseException] = []

    def redrive() -> None:
        with connect(funded.url, statement_timeout_ms=20_000) as connection:
            outcomes.append(redriver(funded, connection).run(ALL)["outcomes"])

    def guarded() -> None:
        try:
            redrive()
        except BaseException as error:  # noqa: BLE001 - the test reports it
            errors.append(error)

    threads = [threading.Thread(target=guarded) for _ in range(2)]
    for thread in threads:
        thread.start()
    settle_through_races(funded, events)
    for thread in threads:
        thread.join(60)
    assert errors == []
    captures = funded.rows("select count(*) as n, count(distinct request_id) as requests from txn where kind = 'capture'")
    assert captures == [{"n": 60, "requests": 60}]
    assert funded.rows("select count(*) as n from dead_letter where redriven_at is null") == [{"n": 0}]
    assert funded.balance("a")[1] == 0
    funded.assert_sound()


def settle_through_races(ledger: Ledger, events: list[RequestCompleted]) -> None:
    """The worker's own way with a batch that somebody else was faster with: again from the same place."""
    for event in events:
        record: Any = ledger.record(event)
        for batch in ledger.worker.positions.batches([record], 1):
            while True:
                try:
                    ledger.worker.store.settle(batch)
                except (RacedError, psycopg.errors.UniqueViolation, psycopg.errors.DeadlockDetected):
                    continue
                break
            ledger.worker.positions.posted(batch)


def test_letters_are_listed_by_place_and_shown_with_their_payload(funded: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    letters = set_aside(funded, monkeypatch, *(completion(hold) for hold in held(funded, 3)))
    page, reasons = redriving.letters(funded.connection, waiting=True, reason=None, after=Place(), limit=2)
    assert [row["offset"] for row in page] == [letter.offset for letter in letters[:2]]
    assert reasons == [{"reason": "too_large", "waiting": 3, "redriven": 0}]
    last = Place(page[-1]["topic"], page[-1]["partition"], page[-1]["offset"])
    page, _ = redriving.letters(funded.connection, waiting=True, reason=None, after=last, limit=2)
    assert [row["offset"] for row in page] == [letters[2].offset]
    shown = redriving.letter(funded.connection, last)
    assert shown["payload"] == (letters[1].value or b"").decode()
    with pytest.raises(NotFoundError):
        redriving.letter(funded.connection, Place("nowhere", 0, 0))
