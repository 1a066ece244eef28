"""A charge goes back to where it came from, at most whole, once per key."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from schemas.calls import HoldRequest
from schemas.envelope import new_id, now
from schemas.money import Usage, format_amount
from services.settlement.errors import ConflictError, InvalidError, NotFoundError
from tests.integration.settlement.ledger import Ledger
from tests.integration.settlement.requests_made import KEY, attempt_on, completion, hold_for

CHARGE = 1_375_000
"""374 tokens in and 44 out of gpt-4o."""


def charged(ledger: Ledger, account: str = "a", *, usage: Usage | None = None, **fields: Any) -> HoldRequest:
    """A request that was answered and charged."""
    request = hold_for(account, **fields)
    ledger.held(request)
    attempts = [attempt_on(request, usage=usage)] if usage else None
    ledger.complete(completion(request, attempts=attempts))
    return request


def windows(ledger: Ledger) -> list[tuple[str, int, int]]:
    """(window, spent, overrun) of every window."""
    query = "select e.window_kind, w.spent, w.overrun from envelope_window w join envelope e on e.id = w.envelope order by 1"
    return [(row["window_kind"], row["spent"], row["overrun"]) for row in ledger.rows(query)]


def test_a_refund_without_an_amount_gives_back_all_that_was_charged(funded: Ledger) -> None:
    request = charged(funded)
    answer = funded.refund("a", request.request_id)
    assert (answer["amount_nano"], answer["charged_nano"], answer["left_nano"]) == (CHARGE, CHARGE, 0)
    assert funded.balance("a") == (10_000_000_000, 0)
    funded.assert_sound()
    kinds = [kind for _, kind, _ in funded.outbox()]
    assert kinds.count("Refunded") == 1


def test_the_sum_of_refunds_never_exceeds_the_charge(funded: Ledger) -> None:
    request = charged(funded)
    funded.refund("a", request.request_id, "0.001")
    with pytest.raises(ConflictError, match=r"0.001375 USD was charged and 0.001 refunded: 0.000375 USD is left"):
        funded.refund("a", request.request_id, "0.000375001")
    assert funded.refund("a", request.request_id, "0.000375")["left_nano"] == 0
    with pytest.raises(ConflictError) as refused:
        funded.refund("a", request.request_id)
    assert refused.value.code == "refund_exceeds_charge"
    assert funded.balance("a") == (10_000_000_000, 0)
    funded.assert_sound()


def test_the_same_key_and_body_give_the_stored_answer_and_another_body_is_a_conflict(funded: Ledger) -> None:
    request = charged(funded)
    first = funded.refund("a", request.request_id, "0.001", key="k")
    assert funded.refund("a", request.request_id, "0.0010", key="k") == first
    for change in ({"amount": "0.0011"}, {"amount": None}, {"reason": "another"}, {"author": "other"}):
        body = {"amount": "0.001"} | change
        with pytest.raises(ConflictError) as refused:
            funded.refund("a", request.request_id, key="k", **body)
        assert refused.value.code == "idempotency_conflict"
    assert funded.count("txn") == 4
    assert funded.balance("a") == (10_000_000_000 - CHARGE + 1_000_000, 0)
    funded.assert_sound()


def test_only_a_charged_request_of_the_account_can_be_refunded(funded: Ledger) -> None:
    open_request = hold_for("a")
    funded.held(open_request)
    with pytest.raises(ConflictError) as refused:
        funded.refund("a", open_request.request_id)
    assert refused.value.code == "not_settled"
    released = hold_for("a")
    funded.held(released)
    funded.complete(completion(released, charged=None))
    with pytest.raises(ConflictError) as refused:
        funded.refund("a", released.request_id)
    assert refused.value.code == "nothing_to_refund"
    request = charged(funded)
    for account, request_id in (("b", request.request_id), ("a", new_id())):
        with pytest.raises(NotFoundError):
            funded.refund(account, request_id)
    with pytest.raises(InvalidError):
        funded.refund("a", request.request_id, "0")
    funded.assert_sound()


def test_what_was_paid_beyond_the_hold_is_refundable_and_a_debt_is_repaid_first(ledger: Ledger) -> None:
    ledger.top_up("a", "credit", "0.01")
    request = charged(ledger, usage=Usage(input_tokens=374, output_tokens=2_000))
    charge = 374 * 2_500 + 2_000 * 10_000
    owed = charge - 10_000_000
    assert ledger.balance("a") == (0, 0)
    assert ledger.rows("select overrun from bucket_balance") == [{"overrun": owed}]
    first = ledger.refund("a", request.request_id, format_amount(owed + 5))
    assert (first["repaid_nano"], ledger.balance("a")) == (owed, (5, 0))
    ledger.refund("a", request.request_id)
    assert ledger.balance("a") == (charge - owed, 0)
    assert ledger.rows("select overrun from bucket_balance") == [{"overrun": 0}]
    ledger.assert_sound()


def test_a_refund_restores_what_is_spent_in_windows_that_are_open_and_in_no_other(funded: Ledger) -> None:
    for window in ("total", "day", "month"):
        funded.limit("a", "key", "key-1", window, "5")
    request = charged(funded)
    assert windows(funded) == [("day", CHARGE, 0), ("month", CHARGE, 0), ("total", CHARGE, 0)]
    funded.refund("a", request.request_id, "0.001")
    assert windows(funded) == [("day", 375_000, 0), ("month", 375_000, 0), ("total", 375_000, 0)]
    yesterday = "update envelope_window w set start_utc = start_utc - interval '40 days' from envelope e"
    funded.connection.execute(f"{yesterday} where e.id = w.envelope and e.window_kind <> 'total'".encode())
    funded.refund("a", request.request_id)
    assert windows(funded) == [("day", 375_000, 0), ("month", 375_000, 0), ("total", 0, 0)]
    funded.assert_sound()


def test_a_refund_takes_the_part_beyond_the_hold_out_of_the_windows_first(funded: Ledger) -> None:
    funded.limit("a", "key", "key-1", "total", "5")
    request = charged(funded, usage=Usage(input_tokens=500, output_tokens=1_000))
    charge = 500 * 2_500 + 1_000 * 10_000
    beyond = charge - (500 * 2_500 + 100 * 10_000)
    assert windows(funded) == [("total", charge, beyond)]
    funded.refund("a", request.request_id, format_amount(beyond - 1))
    assert windows(funded) == [("total", charge - beyond + 1, 1)]
    funded.refund("a", request.request_id, "0.000000003")
    assert windows(funded) == [("total", charge - beyond - 2, 0)]
    funded.assert_sound()


def test_a_limit_that_is_set_after_a_refund_counts_what_is_left_of_the_charge(funded: Ledger) -> None:
    request = charged(funded)
    funded.refund("a", request.request_id, "0.001")
    funded.limit("a", "key", "key-1", "month", "5")
    assert windows(funded) == [("month", 375_000, 0)]
    beyond = charged(funded, usage=Usage(input_tokens=500, output_tokens=1_000))
    funded.refund("a", beyond.request_id)
    funded.limit("a", "project", "project-1", "month", "5")
    assert windows(funded)[-1] == ("month", 375_000, 0)
    funded.assert_sound()


def test_an_expired_hold_is_refunded_what_its_progress_was_charged(funded: Ledger) -> None:
    request = hold_for("a", deadline_at=now() - timedelta(seconds=1))
    funded.held(request)
    funded.connection.execute("update hold set progress_input = 374, progress_output = 44")
    assert funded.expire(request.hold_id) == 1
    assert funded.refund("a", request.request_id)["amount_nano"] == CHARGE
    assert funded.balance("a") == (10_000_000_000, 0)
    funded.assert_sound()


def test_a_request_that_was_charged_twice_names_the_hold(funded: Ledger) -> None:
    lost = hold_for("a", deadline_at=now() - timedelta(seconds=1))
    funded.held(lost)
    funded.connection.execute("update hold set progress_input = 374, progress_output = 44")
    funded.expire(lost.hold_id)
    second = hold_for("a", request_id=lost.request_id)
    funded.held(second)
    funded.complete(completion(second))
    with pytest.raises(ConflictError, match=str(second.hold_id)) as refused:
        funded.refund("a", lost.request_id)
    assert refused.value.code == "several_charges"
    for hold_id in (lost.hold_id, second.hold_id):
        funded.refund("a", lost.request_id, hold_id=hold_id)
    assert funded.balance("a") == (10_000_000_000, 0)
    funded.assert_sound()


def test_the_receipt_shows_refunds(funded: Ledger) -> None:
    request = charged(funded)
    assert funded.receipt("a", request.request_id)["refunds"] == []
    funded.refund("a", request.request_id, "0.001", key=uuid4().hex)
    receipt = funded.receipt("a", request.request_id)
    (shown,) = receipt["refunds"]
    assert (shown["amount"], shown["bucket"], shown["reason"]) == ("0.001", "credit", "a test")
    assert receipt["charge"]["refunded_nano"] == 1_000_000
    assert any("0.001 USD of it was given back to bucket credit" in sentence for sentence in receipt["explanation"])


def test_the_limit_of_a_run_is_restored_while_the_run_is_open(funded: Ledger) -> None:
    run = funded.open_run("a", KEY, {"credit": "3"}, reserve=False)
    request = charged(funded, run_id=run)
    assert windows(funded) == [("run", CHARGE, 0)]
    assert funded.refund("a", request.request_id, "0.001")["run_id"] is None
    assert windows(funded) == [("run", 375_000, 0)]
    funded.close_run("a", run, KEY)
    funded.refund("a", request.request_id)
    assert windows(funded) == [("run", 375_000, 0)]
    assert funded.balance("a") == (10_000_000_000, 0)
    funded.assert_sound()
