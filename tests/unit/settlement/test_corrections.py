"""Refunds, adjustments, promotions and chargebacks: what is asked for, and how much of it may be posted."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from pydantic import ValidationError

from services.settlement.adjustments import Adjustment, require_available, signed_nano
from services.settlement.balances import Buckets
from services.settlement.chargebacks import Chargeback, Dispute, Payment, Reinstatement, chargeable, reinstatable
from services.settlement.errors import ConflictError, InvalidError
from services.settlement.promotions import Promotion
from services.settlement.refunds import Charge, Refund, beyond_hold, chosen, refundable

REQUEST, HOLD = UUID(int=1), UUID(int=2)
AT = datetime(2026, 6, 30, tzinfo=UTC)
SAID = {"reason": "a slip", "author": "mara"}
REFUND: dict[str, Any] = {"account_id": "a", "request_id": REQUEST, "amount": "1.5", "key": "k"} | SAID
ADJUSTMENT: dict[str, Any] = {"account_id": "a", "bucket": "credit", "amount": "-1.5", "key": "k"} | SAID
PROMOTION: dict[str, Any] = {"account_id": "a", "bucket": "credit", "amount": "1.5", "expires_at": AT, "key": "k"} | SAID
CHARGEBACK: dict[str, Any] = {"provider": "bank", "payment_id": "p", "dispute_id": "d", "amount": "1.5"} | SAID
REINSTATEMENT: dict[str, Any] = {"provider": "bank", "dispute_id": "d", "amount": "1.5"} | SAID
BODIES: list[tuple[Any, dict[str, Any]]] = [
    (Refund, REFUND),
    (Adjustment, ADJUSTMENT),
    (Promotion, PROMOTION),
    (Chargeback, CHARGEBACK),
    (Reinstatement, REINSTATEMENT),
]


def charge(**fields: Any) -> Charge:
    """A charge of 100, 30 of it beyond the hold."""
    made: dict[str, Any] = {
        "hold_id": HOLD,
        "request_id": REQUEST,
        "project_id": "p",
        "key_id": "k",
        "key_name": "n",
        "bucket": "credit",
        "currency": "USD",
        "account": 7,
        "run": "",
        "state": "CAPTURED",
        "charged_nano": 100,
        "beyond_hold_nano": 30,
        "refunded_nano": 0,
        "windows": (),
        "ended_at": AT,
    }
    return Charge(**{**made, **fields})


def differ(model: Any, body: dict[str, Any], *changes: dict[str, Any]) -> bool:
    """Whether every change makes another request of the body."""
    return all(model(**body).request_hash != model(**body | change).request_hash for change in changes)


def payment(*disputes: tuple[int, int]) -> Payment:
    """A payment of 100 with disputes, each (taken, given again)."""
    return Payment(
        txn_id=UUID(int=9),
        account_id="a",
        bucket="credit",
        currency="USD",
        provider="bank",
        payment_id="p",
        amount_nano=100,
        disputes=[Dispute(dispute_id="d", amount_nano=taken, reinstated_nano=again) for taken, again in disputes],
    )


@pytest.mark.parametrize(("model", "body"), BODIES)
def test_the_same_amount_in_other_letters_is_the_same_request(model: Any, body: dict[str, Any]) -> None:
    amount = body["amount"]
    assert model(**body).request_hash == model(**body | {"amount": f"{amount}00"}).request_hash
    assert model(**body).request_hash != model(**body | {"amount": f"{amount}1"}).request_hash
    assert len(model(**body).request_hash) == 16


@pytest.mark.parametrize(("model", "body"), BODIES[:3])
@pytest.mark.parametrize("change", [{"account_id": "b"}, {"reason": "another"}, {"author": "other"}])
def test_whatever_else_differs_is_another_request(model: Any, body: dict[str, Any], change: dict[str, Any]) -> None:
    assert model(**body).request_hash != model(**body | change).request_hash


def test_every_part_of_a_body_is_in_its_digest() -> None:
    assert differ(Refund, REFUND, {"request_id": HOLD}, {"amount": None}, {"hold_id": HOLD})
    assert differ(Adjustment, ADJUSTMENT, {"bucket": "wallet"})
    assert differ(Promotion, PROMOTION, {"bucket": "wallet"}, {"expires_at": AT + timedelta(seconds=1)})
    assert differ(Chargeback, CHARGEBACK, {"payment_id": "q"}, {"dispute_id": "e"}, {"provider": "other"}, {"amount": None})
    assert differ(Reinstatement, REINSTATEMENT, {"dispute_id": "e"}, {"provider": "other"}, {"amount": None})


def test_whoever_reports_a_dispute_may_give_another_reason_for_it() -> None:
    assert not differ(Chargeback, CHARGEBACK, {"reason": "other", "author": "x"})
    assert not differ(Reinstatement, REINSTATEMENT, {"reason": "other", "author": "x"})


def test_keys_name_their_kind() -> None:
    keys = [model(**body).idem_key for model, body in BODIES]
    assert keys == ["refund:k", "adjustment:k", "promotion:k", "chargeback:bank:d", "reinstatement:bank:d"]


@pytest.mark.parametrize(("model", "body"), BODIES)
def test_zero_and_what_is_no_amount_are_refused(model: Any, body: dict[str, Any]) -> None:
    for zero in ("0", "0.00"):
        with pytest.raises(InvalidError) as refused:
            _ = model(**body | {"amount": zero}).amount_nano
        assert (refused.value.code, refused.value.param) == ("invalid_amount", "amount")
    for wrong in ("", "NaN", "1e99", "0.0000000001", "--1", "1,5", "+-1"):
        with pytest.raises(ValidationError):
            model(**body | {"amount": wrong})
    bad: list[dict[str, Any]] = [{"reason": ""}, {"reason": "a\x00"}, {"reason": "x" * 501}, {"author": ""}, {"more": 1}]
    for change in bad:
        with pytest.raises(ValidationError):
            model(**body | change)


def test_an_amount_may_be_left_out_where_all_is_meant() -> None:
    for model, body in (BODIES[0], BODIES[3], BODIES[4]):
        assert model(**body | {"amount": None}).amount_nano is None
        assert model(**body).amount_nano == 1_500_000_000


def test_only_adjustments_may_be_negative() -> None:
    assert (signed_nano("-1.5"), signed_nano("1.5"), signed_nano("-0.000000001")) == (-1_500_000_000, 1_500_000_000, -1)
    assert Adjustment(**ADJUSTMENT).amount_nano == -1_500_000_000
    for model, body in (BODIES[0], BODIES[2], BODIES[3], BODIES[4]):
        with pytest.raises(ValidationError):
            model(**body | {"amount": "-1"})


def test_a_promotion_lies_in_the_future() -> None:
    promotion = Promotion(**PROMOTION)
    promotion.require_future(AT - timedelta(microseconds=1))
    with pytest.raises(InvalidError) as refused:
        promotion.require_future(AT)
    assert (refused.value.code, refused.value.param) == ("invalid_expiry", "expires_at")
    with pytest.raises(ValidationError):
        Promotion(**PROMOTION | {"expires_at": "2026-06-30T00:00:00"})


def test_an_adjustment_takes_at_most_what_is_available() -> None:
    require_available(5, 5, "credit", "USD")
    with pytest.raises(ConflictError, match=r"has 0.000000005 USD available, 0.000000006 is to be taken") as refused:
        require_available(6, 5, "credit", "USD")
    assert (refused.value.code, refused.value.param) == ("insufficient_balance", "amount")


def test_a_refund_is_at_most_what_is_left_of_the_charge() -> None:
    assert refundable(charge(), None) == 100
    assert refundable(charge(refunded_nano=40), None) == 60
    assert refundable(charge(refunded_nano=40), 60) == 60
    for part, asked in ((charge(refunded_nano=40), 61), (charge(refunded_nano=100), None), (charge(), 101)):
        with pytest.raises(ConflictError) as refused:
            refundable(part, asked)
        assert (refused.value.code, refused.value.param) == ("refund_exceeds_charge", "amount")


def test_what_no_bucket_could_pay_is_not_refunded() -> None:
    assert charge(account=None).left_nano == 0
    with pytest.raises(ConflictError):
        refundable(charge(account=None), None)


@pytest.mark.parametrize(
    ("refunded", "nano", "beyond"), [(0, 10, 10), (0, 30, 30), (0, 100, 30), (20, 50, 10), (30, 70, 0), (40, 60, 0), (29, 1, 1)]
)
def test_what_came_beyond_the_hold_goes_back_first_and_once(refunded: int, nano: int, beyond: int) -> None:
    assert beyond_hold(charge(refunded_nano=refunded), nano) == beyond


def test_the_charged_hold_is_the_one_that_is_meant() -> None:
    released = charge(hold_id=UUID(int=3), charged_nano=0, state="RELEASED")
    second = charge(hold_id=UUID(int=4))
    asked = Refund(**REFUND)
    assert chosen([released, charge()], asked) == charge()
    assert chosen([charge(), second], Refund(**REFUND | {"hold_id": second.hold_id})) == second
    with pytest.raises(ConflictError, match=f"{HOLD}, {second.hold_id}") as refused:
        chosen([charge(), released, second], asked)
    assert refused.value.code == "several_charges"
    for found, code in (
        ([released], "nothing_to_refund"),
        ([], "nothing_to_refund"),
        ([released, charge(state="HELD", charged_nano=0)], "not_settled"),
    ):
        with pytest.raises(ConflictError) as refused:
            chosen(found, asked)
        assert refused.value.code == code
    with pytest.raises(ConflictError) as refused:
        chosen([charge()], Refund(**REFUND | {"hold_id": UUID(int=5)}))
    assert refused.value.code == "nothing_to_refund"


def test_one_billionth_is_money_too() -> None:
    assert refundable(charge(charged_nano=1), None) == 1
    assert chosen([charge(charged_nano=1)], Refund(**REFUND)).charged_nano == 1
    assert chargeable(payment((99, 0)), None) == chargeable(payment(), 1) == 1


def test_a_refusal_names_the_amounts() -> None:
    with pytest.raises(
        ConflictError, match=r"^0.0000001 USD was charged and 0.00000004 refunded: 0.00000006 USD is left to refund$"
    ):
        refundable(charge(refunded_nano=40), 61)
    with pytest.raises(ConflictError, match=r"^of payment p, 0.0000001 USD, 0.00000004 is left to take back$"):
        chargeable(payment((60, 0)), 41)
    with pytest.raises(ConflictError, match=r"^dispute d took 0.00000006: give again at most that$"):
        reinstatable(Dispute(dispute_id="d", amount_nano=60, reinstated_nano=0), 61)
    with pytest.raises(ConflictError, match=f"^request {REQUEST} is not settled yet: refund it when it is$"):
        chosen([charge(state="HELD", charged_nano=0)], Refund(**REFUND))
    with pytest.raises(ConflictError, match=f"^request {REQUEST} was charged nothing: there is nothing to refund$"):
        chosen([], Refund(**REFUND))
    with pytest.raises(InvalidError, match=r"^the amount must be more than zero$"):
        _ = Chargeback(**CHARGEBACK | {"amount": "0"}).amount_nano
    with pytest.raises(ValidationError, match="at most nine decimal places"):
        Adjustment(**ADJUSTMENT | {"amount": "0.0000000001"})


def test_chargebacks_take_at_most_the_payment() -> None:
    assert chargeable(payment(), None) == 100
    assert chargeable(payment((60, 0)), None) == 40
    assert chargeable(payment((60, 50)), 90) == 90
    for found, asked in (
        (payment((60, 0)), 41),
        (payment((100, 0)), None),
        (payment((100, 0)), 1),
        (payment(), 0),
        (payment(), -1),
    ):
        with pytest.raises(ConflictError) as refused:
            chargeable(found, asked)
        assert (refused.value.code, refused.value.param) == ("chargeback_exceeds_payment", "amount")


def test_a_reinstatement_gives_at_most_what_the_dispute_took() -> None:
    dispute = Dispute(dispute_id="d", amount_nano=60, reinstated_nano=0)
    assert [reinstatable(dispute, asked) for asked in (None, 60, 1)] == [60, 60, 1]
    with pytest.raises(ConflictError) as refused:
        reinstatable(dispute, 61)
    assert (refused.value.code, refused.value.param) == ("reinstatement_exceeds_chargeback", "amount")


@pytest.mark.parametrize(
    ("posted", "held", "asked", "taken"), [(10, 4, 5, 5), (10, 4, 6, 6), (10, 4, 7, 6), (10, 10, 1, 0), (-3, 0, 2, 0)]
)
def test_a_bucket_gives_what_is_available_and_no_more(posted: int, held: int, asked: int, taken: int) -> None:
    buckets = Buckets([(1, posted, held, 0, False)])
    assert buckets.take(1, asked) == (posted, taken)
    assert buckets.state(1).posted == posted - taken
    buckets.owe(1, asked - taken)
    buckets.owe(1, 2)
    assert buckets.state(1).overrun == asked - taken + 2
