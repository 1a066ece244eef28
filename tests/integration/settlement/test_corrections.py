"""Adjustments and chargebacks: what an operator or a payment provider does to a bucket."""

from datetime import timedelta

import pytest

from schemas.envelope import now
from services.settlement.errors import ConflictError, InvalidError, NotFoundError
from tests.integration.settlement.ledger import Ledger
from tests.integration.settlement.requests_made import completion, hold_for

UNIT = 1_000_000_000


def overrun(ledger: Ledger) -> int:
    """What account "a" owes."""
    found: int = ledger.rows("select overrun from bucket_balance where holder = 'a' and bucket = 'credit'")[0]["overrun"]
    return found


def posted_to(ledger: Ledger, kind: str) -> int:
    """What an account of the operator's has on its debit side."""
    query = "select coalesce(sum(case side when 'debit' then amount else -amount end), 0)::bigint as n"
    found: int = ledger.rows(f"{query} from posting p join account k on k.id = p.account where k.kind = %s", kind)[0]["n"]
    return found


def test_an_adjustment_gives_and_takes(funded: Ledger) -> None:
    assert funded.adjust("a", "credit", "2.5")["balance"] == {
        "before_nano": 10 * UNIT,
        "after_nano": 12_500_000_000,
        "held_nano": 0,
    }
    assert funded.adjust("a", "credit", "-12.5")["amount"] == "-12.50"
    assert funded.balance("a") == (0, 0)
    assert posted_to(funded, "adjustment") == -10 * UNIT
    funded.assert_sound()


def test_an_adjustment_never_takes_what_is_held(funded: Ledger) -> None:
    answer = funded.held(hold_for("a"))
    free = 10 * UNIT - answer["amount_nano"]
    with pytest.raises(ConflictError) as refused:
        funded.adjust("a", "credit", "-10")
    assert refused.value.code == "insufficient_balance"
    assert f"{free / UNIT:.9f}".rstrip("0") in refused.value.message
    funded.adjust("a", "credit", f"-{free / UNIT:.9f}")
    assert funded.balance("a") == (answer["amount_nano"], answer["amount_nano"])
    funded.assert_sound()


def test_an_adjustment_opens_a_bucket_and_pays_debts_first(ledger: Ledger) -> None:
    ledger.adjust("a", "credit", "1")
    ledger.top_up("a", "credit", "1", payment_id="p")
    ledger.adjust("a", "credit", "-1.5")
    ledger.charge_back("p")
    assert (ledger.balance("a"), overrun(ledger)) == ((0, 0), UNIT // 2)
    assert ledger.adjust("a", "credit", "0.75")["repaid_nano"] == UNIT // 2
    assert (ledger.balance("a"), overrun(ledger)) == ((UNIT // 4, 0), 0)
    ledger.assert_sound()


def test_a_key_of_an_adjustment_is_used_once(funded: Ledger) -> None:
    first = funded.adjust("a", "credit", "-1", key="k")
    assert funded.adjust("a", "credit", "-1.0", key="k") == first
    for account, bucket, amount in (("a", "credit", "1"), ("a", "wallet", "-1"), ("b", "credit", "-1")):
        with pytest.raises(ConflictError) as refused:
            funded.adjust(account, bucket, amount, key="k")
        assert refused.value.code == "idempotency_conflict"
    assert funded.balance("a") == (9 * UNIT, 0)
    with pytest.raises(InvalidError):
        funded.adjust("a", "credit", "-0")
    with pytest.raises(InvalidError) as invalid:
        funded.adjust("a", "gold", "1")
    assert invalid.value.code == "unknown_bucket"
    funded.assert_sound()


def test_nothing_is_paid_into_a_cost_centre(ledger: Ledger) -> None:
    ledger.cost_centre("team", "credit", "5")
    for amount in ("1", "-1"):
        with pytest.raises(ConflictError) as refused:
            ledger.adjust("team", "credit", amount)
        assert refused.value.code == "bucket_funded_by_limit"
    with pytest.raises(ConflictError) as refused:
        ledger.promote("team", "credit", "1", now() + timedelta(days=1))
    assert refused.value.code == "bucket_funded_by_limit"
    ledger.assert_sound()


def test_a_cost_centres_charge_can_be_refunded(ledger: Ledger) -> None:
    ledger.cost_centre("team", "credit", "5")
    request = hold_for("team")
    ledger.held(request)
    ledger.complete(completion(request))
    assert ledger.balance("team") == (-1_375_000, 0)
    ledger.refund("team", request.request_id)
    assert ledger.balance("team") == (0, 0)
    assert ledger.rows("select spent from envelope_window") == [{"spent": 0}]
    ledger.assert_sound()


def test_a_chargeback_takes_what_is_available_and_the_rest_is_owed(ledger: Ledger) -> None:
    ledger.top_up("a", "credit", "10", payment_id="p")
    held = hold_for("a", max_output_tokens=10_000)
    answer = ledger.held(held)
    taken = 10 * UNIT - answer["amount_nano"]
    back = ledger.charge_back("p", dispute_id="d")
    assert (back["amount_nano"], back["owed_nano"]) == (10 * UNIT, answer["amount_nano"])
    assert ledger.balance("a") == (answer["amount_nano"], answer["amount_nano"])
    assert overrun(ledger) == 10 * UNIT - taken
    assert ledger.hold(hold_for("a"))[0]["code"] == "insufficient_balance"
    (case,) = ledger.rows('select kind, exposure_nano, detail from "case"')
    assert (case["kind"], case["exposure_nano"]) == ("chargeback", 10 * UNIT)
    assert "is owed: no new hold passes until it is paid" in case["detail"]
    ledger.assert_sound()
    ledger.complete(completion(held))
    ledger.assert_sound()


def test_a_dispute_that_was_won_gives_the_payment_again(ledger: Ledger) -> None:
    ledger.top_up("a", "credit", "10", payment_id="p")
    ledger.adjust("a", "credit", "-4")
    ledger.charge_back("p", dispute_id="d")
    assert (ledger.balance("a"), overrun(ledger)) == ((0, 0), 4 * UNIT)
    again = ledger.reinstate("d")
    assert (again["amount_nano"], again["repaid_nano"]) == (10 * UNIT, 4 * UNIT)
    assert (ledger.balance("a"), overrun(ledger)) == ((6 * UNIT, 0), 0)
    assert ledger.reinstate("d") == again
    with pytest.raises(ConflictError):
        ledger.reinstate("d", "1")
    ledger.assert_sound()


def test_no_more_is_taken_back_than_was_paid(ledger: Ledger) -> None:
    ledger.top_up("a", "credit", "10", payment_id="p")
    first = ledger.charge_back("p", "6", dispute_id="d1")
    assert ledger.charge_back("p", "6.0", dispute_id="d1") == first
    with pytest.raises(ConflictError) as refused:
        ledger.charge_back("p", "4.000000001")
    assert refused.value.code == "chargeback_exceeds_payment"
    assert ledger.charge_back("p", dispute_id="d2")["amount_nano"] == 4 * UNIT
    with pytest.raises(ConflictError):
        ledger.charge_back("p")
    ledger.reinstate("d1", "5")
    assert ledger.charge_back("p")["amount_nano"] == 5 * UNIT
    assert ledger.balance("a") == (0, 0)
    assert posted_to(ledger, "top_up_clearing") == 0
    ledger.assert_sound()


def test_unknown_payments_and_disputes_are_refused(ledger: Ledger) -> None:
    with pytest.raises(NotFoundError) as refused:
        ledger.charge_back("nothing")
    assert refused.value.code == "payment_not_found"
    with pytest.raises(NotFoundError) as refused:
        ledger.reinstate("nothing")
    assert refused.value.code == "dispute_not_found"
    ledger.top_up("a", "credit", "10", payment_id="p")
    ledger.charge_back("p", "1", dispute_id="d")
    with pytest.raises(ConflictError):
        ledger.charge_back("p", "2", dispute_id="d")
    with pytest.raises(ConflictError):
        ledger.reinstate("d", "2")
    ledger.assert_sound()
