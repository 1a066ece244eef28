"""What a decided batch writes, from the decisions alone."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
import pytest

from schemas import topics
from schemas.attempts import RequestCompleted
from schemas.ledger import Captured, LateUsage, Released
from services.settlement import accounts
from services.settlement.balances import Buckets, Capture
from services.settlement.batch import Decided
from services.settlement.batch_rows import (
    add_txn,
    captured_heads,
    dead_letter_row,
    end_settlement,
    ended_holds,
    hold_ends,
    outcome_of,
    possible_overruns,
    receipt_rows,
)
from services.settlement.entries import Outbox, Txns, Windows
from services.settlement.errors import PoisonError
from services.settlement.records import Incoming, Record
from services.settlement.settling import CaseDraft, Charge, HoldRow, Settlement
from tests.integration.settlement.requests_made import attempt_on, completion, hold_for
from tests.unit.settlement.columns import column, columns_of
from tests.unit.settlement.test_settling import row_of

TXN, CHARGED, OTHER = UUID(int=1), UUID(int=2), UUID(int=3)
HASH = "ab" * 16


def hold_row(hold_id: UUID, *, amount: int = 100, account: int | None = 7, windows: tuple[int, ...] = (4, 5)) -> HoldRow:
    row = row_of(hold_for("a", hold_id=hold_id))
    row.amount_nano, row.account, row.windows = amount, account, list(windows)
    return row


def captured(nano: int, *releases: HoldRow, account: int | None = 7) -> Settlement:
    hold = hold_row(CHARGED, account=account)
    request = hold_for("a", hold_id=CHARGED)
    charge = Charge(hold=hold, attempt=attempt_on(request), nano=nano)
    return Settlement(event=completion(request), kind="capture", capture=charge, releases=releases, txn_id=TXN)


def late(nano: int) -> Settlement:
    request = hold_for("a", hold_id=CHARGED)
    charge = Charge(hold=hold_row(CHARGED), attempt=attempt_on(request), nano=nano)
    return Settlement(event=completion(request), kind="late_usage", late=charge, late_nano=nano - 1, txn_id=TXN)


def released(*releases: HoldRow) -> Settlement:
    event = completion(hold_for("a"), charged=None)
    return Settlement(event=event, kind="release", releases=releases, txn_id=TXN)


def incoming(event: RequestCompleted) -> Incoming:
    value = event.to_json()
    return Incoming(Record(0, 3, b"a", value, "RequestCompleted"), event, value.decode(), HASH)


def end(
    settlement: Settlement, *buckets: tuple[int, int, int, int, bool]
) -> tuple[Any, list[Any], dict[int, list[int]], Outbox]:
    locked, windows, outbox = Buckets(buckets), Windows(), Outbox()
    paid = end_settlement(settlement, captured_heads([settlement])[0], locked, windows, outbox)
    return paid, locked.states, windows.moves, outbox


def test_the_holds_that_end_are_the_charged_one_and_the_released() -> None:
    other = hold_row(OTHER, windows=())
    made = [captured(30, other), late(5), released(hold_row(TXN))]
    assert [hold.id for hold in ended_holds(made)] == [CHARGED, OTHER, TXN]
    assert columns_of(hold_ends(made)) == {
        "ids": [CHARGED, OTHER, TXN],
        "states": ["CAPTURED", "RELEASED", "RELEASED"],
        "captured": [30, 0, 0],
        "windows": [2, 0, 2],
    }
    assert column(hold_ends([captured(130)])["captured"]) == [100]


def test_an_account_for_debts_is_opened_only_for_a_capture_above_its_hold() -> None:
    assert possible_overruns([captured(100), late(5), released()]) == {}
    opened = [accounts.revenue("USD"), accounts.overrun_receivable("USD")]
    assert possible_overruns([captured(100), captured(101)]) == {account.name: account for account in opened}


def test_a_capture_takes_from_its_bucket_and_counts_in_its_windows() -> None:
    paid, states, windows, outbox = end(captured(130), (7, 500, 150, 0, False))
    assert paid == Capture(100, 30, 0, 500, 370, 50)
    assert [(state.posted, state.held, state.overrun) for state in states] == [(370, 50, 0)]
    assert windows == {4: [100, 130, 30], 5: [100, 130, 30]}
    ((topic, key, kind, ref, payload),) = outbox.rows
    assert (topic, key, kind, ref) == (topics.LEDGER, "a", "Captured", TXN)
    event = Captured.model_validate_json(payload)
    assert (event.data.captured_nano, event.data.released_nano, event.data.overrun_nano) == (100, 0, 30)
    assert (event.data.balance.before_nano, event.data.balance.after_nano, event.data.balance.held_after_nano) == (500, 370, 50)


def test_a_capture_within_its_hold_has_no_overrun() -> None:
    paid, states, windows, _ = end(captured(99), (7, 500, 100, 0, False))
    assert paid.paid == 99
    assert (states[0].posted, states[0].held) == (401, 0)
    assert windows == {4: [100, 99, 0], 5: [100, 99, 0]}


def test_what_the_request_gives_back_pays_for_its_charge_before_anything_is_owed() -> None:
    other = hold_row(OTHER, amount=40, windows=(5,))
    paid, states, windows, outbox = end(captured(130, other), (7, 140, 140, 0, False))
    assert (paid.from_available, paid.owed) == (30, 0)
    assert (states[0].posted, states[0].held, states[0].overrun) == (10, 0, 0)
    assert windows == {5: [140, 130, 30], 4: [100, 130, 30]}
    assert [row[2] for row in outbox.rows] == ["Released", "Captured"]


def test_a_release_gives_its_hold_back_and_says_so() -> None:
    paid, states, windows, outbox = end(released(hold_row(OTHER)), (7, 500, 130, 0, False))
    assert paid is None
    assert (states[0].posted, states[0].held) == (500, 30)
    assert windows == {4: [100, 0, 0], 5: [100, 0, 0]}
    ((topic, key, kind, ref, payload),) = outbox.rows
    assert (topic, key, kind, ref) == (topics.LEDGER, "a", "Released", OTHER)
    assert Released.model_validate_json(payload).data.amount_nano == 100


def test_late_usage_moves_no_bucket_and_says_what_was_written_off() -> None:
    paid, states, windows, outbox = end(late(50), (7, 500, 0, 0, False))
    assert (paid, windows, states[0].posted) == (None, {}, 500)
    ((topic, key, kind, ref, payload),) = outbox.rows
    assert (topic, key, kind, ref) == (topics.LEDGER, "a", "LateUsage", TXN)
    event = LateUsage.model_validate_json(payload)
    assert (event.data.amount_nano, event.data.hold_id) == (49, CHARGED)


@pytest.mark.parametrize("settlement", [captured(42), late(42)])
def test_the_transaction_of_a_charge_names_what_was_charged_to_what(settlement: Settlement) -> None:
    txns, event = Txns(), settlement.event
    add_txn(txns, incoming(event), settlement)
    ((txn_id, kind, key, digest, version, holder, request_id, hold_id, detail),) = txns.rows
    assert (txn_id, kind, key, digest) == (TXN, settlement.kind, f"settle:{event.request_id}", HASH)
    assert (version, holder, request_id, hold_id) == (1, "a", event.request_id, CHARGED)
    assert orjson.loads(detail) == {
        "event_id": str(event.event_id),
        "key_id": "key-1",
        "project_id": "p",
        "attempt": 1,
        "route_type": "direct",
        "model": "gpt-4o",
        "charge_nano": 42,
    }


def test_the_transaction_of_a_release_names_no_hold_and_no_price() -> None:
    txns, settlement = Txns(), released(hold_row(OTHER))
    add_txn(txns, incoming(settlement.event), settlement)
    _, kind, _, _, version, _, _, hold_id, detail = txns.rows[0]
    assert (kind, version, hold_id) == ("release", None, None)
    assert orjson.loads(detail) == {"event_id": str(settlement.event.event_id), "key_id": "key-1"}


def test_a_receipt_has_a_row_for_every_settlement() -> None:
    made = [captured(130), late(50), released()]
    rows = columns_of(receipt_rows([(incoming(each.event), each) for each in made]))
    assert rows["request_ids"] == [each.event.request_id for each in made]
    assert rows["holders"] == ["a", "a", "a"]
    assert rows["statuses"] == ["settled", "expired", "released"]
    assert rows["txns"] == [TXN, TXN, TXN]
    assert rows["holds"] == [CHARGED, CHARGED, None]
    assert (rows["charges"], rows["overruns"], rows["written_off"]) == ([130, 0, 0], [30, 0, 0], [0, 49, 0])
    assert rows.keys() == {
        *("request_ids", "holders", "statuses", "txns", "holds", "charges", "overruns", "written_off"),
        *("completed", "starts", "sizes"),
    }
    assert column(receipt_rows([(incoming(captured(100).event), captured(100))])["overruns"]) == [0]


def test_the_events_that_came_are_kept_as_they_came() -> None:
    made = [captured(130), released()]
    rows = receipt_rows([(incoming(each.event), each) for each in made])
    completed = rows["completed"]
    assert completed == b"".join(each.event.to_json() for each in made)


def test_a_dead_letter_keeps_the_record_and_the_reason() -> None:
    record = Record(3, 9, b"k", b"v", "Request\x00Completed")
    assert dead_letter_row(record, PoisonError("unreadable", "not JSON")) == {
        "topic": topics.ATTEMPTS,
        "partition": 3,
        "offset": 9,
        "reason": "unreadable",
        "detail": "not JSON",
        "key": b"k",
        "type": "RequestCompleted",
        "payload": b"v",
    }


def test_an_event_that_is_read_again_comes_to_one_word() -> None:
    case = CaseDraft(kind="second_completion", detail="", holder="a")
    settlement = captured(1)
    settled = Decided(settlements=[(incoming(settlement.event), settlement)], cases=[case])
    assert outcome_of(settled) == "capture"
    assert outcome_of(Decided(cases=[case])) == "second_completion"
    assert outcome_of(Decided()) == "repeat"


def test_only_a_capture_has_the_head_of_a_captured_event() -> None:
    heads = captured_heads([captured(1), late(1)])
    assert heads[1] == ""
    assert Captured.model_validate_json(f'{heads[0]},"before_nano":1,"after_nano":0,"held_after_nano":0}}}}}}').occurred_at < (
        datetime.now(UTC)
    )
