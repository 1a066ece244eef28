"""What must not be settled, and offsets that are not what they should be: set aside, halted or harmless."""

import json
from typing import Any

import orjson
import psycopg
import pytest

from schemas import topics
from schemas.attempts import RequestCompleted
from schemas.money import Usage
from services.settlement.database import connect
from services.settlement.errors import LostLeaseError, OffsetGapError
from services.settlement.records import Record
from tests.integration.settlement.ledger import Ledger
from tests.integration.settlement.requests_made import attempt_on, completion, hold_for

CHARGE = 1_375_000
HOLD = 2_250_000


POISON = [
    (b"", "unreadable"),
    (b"{", "unreadable"),
    (b"\xff\xfe", "unreadable"),
    (b"[1]", "unreadable"),
    (b'{"type":"RequestCompleted"}', "unreadable"),
    (b"x" * (3 << 20), "too_large"),
]


@pytest.mark.parametrize(("payload", "reason"), POISON)
def test_poison_is_set_aside_and_what_follows_is_settled(funded: Ledger, payload: bytes, reason: str) -> None:
    request = hold_for("a")
    funded.held(request)
    event = completion(request)
    funded.worker.settle([funded.record(event, value=payload), funded.record(event)])
    assert funded.rows('select "offset", reason from dead_letter') == [{"offset": 0, "reason": reason}]
    assert funded.balance("a") == (10_000_000_000 - CHARGE, 0)
    dead = [value for topic, _, value in funded.outbox() if topic == topics.DEAD]
    assert len(dead) == 1
    funded.assert_sound()


def altered(event: RequestCompleted, **changes: object) -> bytes:
    """The event's JSON with fields of its data changed."""
    body = orjson.loads(event.to_json())
    for name, value in changes.items():
        (body if name in body else body["data"])[name] = value
    return json.dumps(body).encode()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"charged_attempt": 7}, "inconsistent"),
        ({"request_id": None}, "inconsistent"),
        ({"version": 2}, "unknown_version"),
        ({"account_id": "somebody else"}, "wrong_key"),
        ({"requested_model": "a\x00b"}, "unreadable"),
        ({"latency_ms": -1}, "unreadable"),
        ({"charged_attempt": 2**80}, "inconsistent"),
    ],
)
def test_an_event_that_contradicts_itself_is_set_aside(funded: Ledger, changes: dict[str, object], reason: str) -> None:
    request = hold_for("a")
    funded.held(request)
    event = completion(request)
    funded.worker.settle([funded.record(event, value=altered(event, **changes))])
    assert [row["reason"] for row in funded.rows("select reason from dead_letter")] == [reason]
    assert funded.balance("a") == (10_000_000_000, HOLD)
    assert funded.count("inbox") == 0
    funded.assert_sound()


def test_a_dead_letter_stays_one_when_all_is_read_again_after_its_request_was_settled(funded: Ledger) -> None:
    request = hold_for("a")
    funded.held(request)
    records = [funded.record(completion(request, charged=7)), funded.record(completion(request))]
    funded.worker.settle(records)
    funded.connection.execute("update consumer_offset set next = 0, consumed = 0, settled = 0")
    funded.worker = funded.new_worker(funded.connection)
    assert funded.worker.settle(records).repeats == 2
    assert [funded.count(table) for table in ("dead_letter", "inbox", "receipt", "case")] == [1, 1, 1, 0]
    assert funded.balance("a") == (10_000_000_000 - CHARGE, 0)
    funded.assert_sound()


@pytest.mark.parametrize("at_once", [True, False])
def test_what_is_set_aside_twice_is_set_aside_twice_in_one_batch_and_in_two(funded: Ledger, at_once: bool) -> None:
    request = hold_for("a")
    funded.held(request)
    event = completion(request, charged=7)
    records = [funded.record(event), funded.record(event.model_copy(update={"environment": "forged"}))]
    for part in [records] if at_once else [records[:1], records[1:]]:
        funded.worker.settle(part)
    assert [funded.count(table) for table in ("dead_letter", "inbox", "case")] == [2, 0, 0]
    funded.assert_sound()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"upstream_model": "nobody-knows"}, "unpriced"),
        ({"route_type": "pooled"}, "wrong_bucket"),
        ({"usage": Usage(output_tokens=10**12)}, "amount_out_of_range"),
    ],
)
def test_usage_that_cannot_be_priced_is_set_aside_and_its_hold_stays(
    funded: Ledger, change: dict[str, Any], reason: str
) -> None:
    request = hold_for("a")
    funded.held(request)
    if reason == "amount_out_of_range":
        funded.publish(PRICED_OUT)
        request = hold_for("a", max_output_tokens=0, input_tokens_bound=0)
        funded.held(request)
    before = funded.balance("a")
    funded.complete(completion(request, attempts=[attempt_on(request, **change)]))
    assert [row["reason"] for row in funded.rows("select reason from dead_letter")] == [reason]
    assert funded.balance("a") == before
    funded.assert_sound()


PRICED_OUT = """
buckets: [{id: credit, currency: USD, route_types: [direct]}]
prices: [{route_type: direct, model: gpt-4o, currency: USD, input: "1", output: "9000000"}]
"""


def test_a_record_without_a_type_is_set_aside(funded: Ledger) -> None:
    funded.worker.settle([Record(0, 0, b"a", b"{}", "")])
    assert [row["reason"] for row in funded.rows("select reason from dead_letter")] == ["no_type"]


def test_records_of_other_types_move_the_offset_and_nothing_else(funded: Ledger) -> None:
    funded.worker.settle([Record(0, offset, b"a", b"{}", "AttemptStarted") for offset in range(5)])
    assert funded.rows("select next, consumed from consumer_offset") == [{"next": 5, "consumed": 5}]
    assert (funded.count("inbox"), funded.count("dead_letter")) == (0, 0)


def test_a_gap_in_the_offsets_halts(funded: Ledger) -> None:
    request = hold_for("a")
    funded.held(request)
    funded.offset = 3
    with pytest.raises(OffsetGapError):
        funded.complete(completion(request))
    assert funded.balance("a") == (10_000_000_000, HOLD)


def test_records_below_the_offset_are_left_out(funded: Ledger) -> None:
    request = hold_for("a")
    funded.held(request)
    record = funded.record(completion(request))
    funded.worker.settle([record])
    funded.worker.settle([record])
    assert funded.rows("select next from consumer_offset") == [{"next": 1}]
    funded.assert_sound()


@pytest.mark.parametrize("moved_to", [0, 3])
def test_an_offset_that_somebody_moved_stops_the_worker_before_it_posts(funded: Ledger, moved_to: int) -> None:
    first, second = hold_for("a"), hold_for("a")
    funded.hold(first, second)
    funded.complete(completion(first))
    funded.connection.execute("update consumer_offset set next = %s, consumed = %s", [moved_to, moved_to])
    with pytest.raises(LostLeaseError):
        funded.complete(completion(second))
    assert funded.balance("a") == (10_000_000_000 - CHARGE, HOLD)


def test_nobody_moves_the_offset_without_saying_what_was_read(funded: Ledger) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        funded.connection.execute("update consumer_offset set next = 5")


def test_offsets_set_back_repeat_events_and_post_nothing(funded: Ledger) -> None:
    requests = [hold_for("a") for _ in range(5)]
    funded.hold(*requests)
    records = [funded.record(completion(request)) for request in requests]
    funded.worker.settle(records)
    funded.connection.execute("update consumer_offset set next = 0, consumed = 0")
    before = funded.count("posting")
    funded.new_worker(funded.connection).settle(records)
    assert funded.count("posting") == before
    assert funded.balance("a") == (10_000_000_000 - 5 * CHARGE, 0)
    funded.assert_sound()


def test_a_worker_without_the_lease_posts_nothing(funded: Ledger) -> None:
    request = hold_for("a")
    funded.held(request)
    record = funded.record(completion(request))
    zombie = funded.worker
    connection = connect(funded.url, statement_timeout_ms=20_000)
    successor = funded.new_worker(connection)
    with pytest.raises(LostLeaseError):
        zombie.settle([record])
    assert funded.balance("a") == (10_000_000_000, HOLD)
    successor.settle([record])
    connection.close()
    assert funded.balance("a") == (10_000_000_000 - CHARGE, 0)
    funded.assert_sound()


def test_an_offset_moved_past_events_is_seen_by_the_next_worker(funded: Ledger) -> None:
    first, second = hold_for("a"), hold_for("a")
    funded.hold(first, second)
    records = [funded.record(completion(first)), Record(0, 1, b"a", b"{}", "AttemptStarted")]
    funded.worker.settle(records)
    funded.offset = 2
    records.append(funded.record(completion(second)))
    successor = funded.new_worker(funded.connection)
    assert successor.positions.read_from == {0: 1}
    successor.settle(records[1:2])
    funded.connection.execute("update consumer_offset set next = 3, consumed = 3")
    with pytest.raises(OffsetGapError, match="moved past offset 2"):
        funded.new_worker(funded.connection).settle(records[1:])
    assert funded.balance("a") == (10_000_000_000 - CHARGE, HOLD)
