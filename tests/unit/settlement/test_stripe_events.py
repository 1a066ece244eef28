"""What an event of Stripe's says of our money, and what it does not."""

from typing import Any

import orjson
import pytest

from services.settlement.errors import BadInputError, InvalidError, UnavailableError
from services.settlement.minor_units import nano_of
from services.settlement.stripe_events import Disputed, Paid, Returned, Unusable, read_event
from services.settlement.webhook_api import verify

OURS = {"account_id": "a", "bucket": "credit"}
PAID = Paid(payment_id="pi_1", account_id="a", bucket="credit", amount_minor=2_500, currency="USD")
INTENT = {"id": "pi_1", "amount_received": 2_500, "currency": "usd", "metadata": OURS}
SESSION = {
    "id": "cs_1",
    "mode": "payment",
    "payment_status": "paid",
    "payment_intent": "pi_1",
    "amount_total": 2_500,
    "currency": "usd",
    "metadata": OURS,
}
DISPUTE = {"id": "dp_1", "payment_intent": "pi_1", "amount": 2_500, "currency": "usd", "reason": "fraudulent"}
CHARGE = {"id": "ch_1", "payment_intent": "pi_1", "amount_refunded": 700, "currency": "usd"}


def said(kind: str, content: dict[str, Any]) -> object:
    """The fact in an event."""
    return read_event(orjson.dumps({"id": "evt_1", "type": kind, "data": {"object": content}}))[2]


def test_a_payment_is_the_same_whichever_event_announces_it() -> None:
    assert said("payment_intent.succeeded", INTENT) == PAID
    assert said("checkout.session.completed", SESSION) == PAID
    assert said("checkout.session.completed", SESSION | {"payment_intent": {"id": "pi_1"}}) == PAID
    assert said("checkout.session.async_payment_succeeded", SESSION) == PAID


@pytest.mark.parametrize(
    "change",
    [{"payment_status": "unpaid"}, {"mode": "subscription"}, {"payment_intent": None}, {"metadata": {}}, {"metadata": None}],
)
def test_a_checkout_that_is_not_paid_or_not_ours_says_nothing(change: dict[str, Any]) -> None:
    assert said("checkout.session.completed", SESSION | change) is None


@pytest.mark.parametrize("kind", ["payment_intent.created", "charge.succeeded", "customer.created", "charge.dispute.created"])
def test_other_events_say_nothing(kind: str) -> None:
    assert said(kind, INTENT) is None


def test_money_that_goes_back_is_told_by_its_payment() -> None:
    returned = Returned(payment_id="pi_1", charge_id="ch_1", total_minor=700, currency="USD")
    assert said("charge.refunded", CHARGE) == returned
    assert returned.dispute_id == "refund/ch_1/700"
    assert said("charge.refunded", CHARGE | {"payment_intent": None}) is None
    lost = Disputed(payment_id="pi_1", dispute_id="dp_1", amount_minor=2_500, currency="USD", reason="fraudulent", won=False)
    assert said("charge.dispute.funds_withdrawn", DISPUTE) == lost
    won = said("charge.dispute.funds_reinstated", DISPUTE | {"reason": None})
    assert isinstance(won, Disputed)
    assert (won.won, won.reason) == (True, "disputed")


def test_a_reason_that_would_mislead_a_reader_is_written_out_and_stops_no_money() -> None:
    found = said("charge.dispute.funds_withdrawn", DISPUTE | {"reason": "a\n\u202eb"})
    assert isinstance(found, Disputed)
    assert found.reason == "a\\u000a\\u202eb"
    assert said("charge.dispute.funds_withdrawn", DISPUTE | {"payment_intent": None}) is None


@pytest.mark.parametrize("event_id", ["", "e" * 129, "e\n", 7, None, ["e"]])
def test_an_event_without_a_usable_id_is_refused(event_id: Any) -> None:
    with pytest.raises(BadInputError) as refused:
        read_event(orjson.dumps({"id": event_id, "type": "payment_intent.succeeded", "data": {"object": INTENT}}))
    assert refused.value.code == "invalid_event"


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("payment_intent.succeeded", INTENT | {"id": 7}),
        ("payment_intent.succeeded", INTENT | {"currency": None}),
        ("payment_intent.succeeded", INTENT | {"metadata": OURS | {"account_id": 0}}),
        ("checkout.session.completed", SESSION | {"payment_intent": {"id": ["pi_1"]}}),
        ("charge.refunded", CHARGE | {"id": {}}),
        ("charge.dispute.funds_withdrawn", DISPUTE | {"payment_intent": 7}),
    ],
)
def test_a_name_that_is_no_text_makes_the_fact_unusable(kind: str, content: dict[str, Any]) -> None:
    found = said(kind, content)
    assert isinstance(found, Unusable)
    assert (found.about, found.is_payment) == ("evt_1", not kind.startswith("charge"))


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"1", b"null", b'{"id":"e"}', b'{"id":"e","type":"x"}', b'{"id":"e","type":"x","data":[]}', b"\xff"],
)
def test_what_is_no_event_is_refused(body: bytes) -> None:
    with pytest.raises(BadInputError) as refused:
        read_event(body)
    assert refused.value.code == "invalid_event"


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("payment_intent.succeeded", []),
        ("payment_intent.succeeded", INTENT | {"amount_received": 2.5}),
        ("payment_intent.succeeded", INTENT | {"amount_received": True}),
        ("payment_intent.succeeded", INTENT | {"amount_received": "2500"}),
        ("payment_intent.succeeded", {"metadata": OURS}),
        ("checkout.session.completed", {}),
        ("charge.refunded", {"payment_intent": "pi_1"}),
        ("charge.dispute.funds_withdrawn", {"payment_intent": "pi_1"}),
    ],
)
def test_an_event_of_another_form_is_refused(kind: str, content: Any) -> None:
    with pytest.raises(BadInputError):
        said(kind, content)


@pytest.mark.parametrize(
    ("minor", "currency", "nano"),
    [
        (2_500, "USD", 25_000_000_000),
        (1, "USD", 10_000_000),
        (500, "JPY", 500_000_000_000),
        (5_120, "KWD", 5_120_000_000),
        (500, "ISK", 5_000_000_000),
        (100, "HUF", 1_000_000_000),
        (10**9, "XPF", 10**18),
    ],
)
def test_the_smallest_unit_depends_on_the_currency(minor: int, currency: str, nano: int) -> None:
    assert nano_of(minor, currency) == nano


@pytest.mark.parametrize(
    ("minor", "currency", "code"),
    [
        (500, "UGX", "unclear_currency"),
        (500, "", "unclear_currency"),
        (500, "US", "unclear_currency"),
        (500, "U$D", "unclear_currency"),
        (0, "USD", "invalid_amount"),
        (-1, "USD", "invalid_amount"),
        (10**11 + 1, "USD", "invalid_amount"),
    ],
)
def test_what_cannot_be_read_with_certainty_is_refused(minor: int, currency: str, code: str) -> None:
    with pytest.raises(InvalidError) as refused:
        nano_of(minor, currency)
    assert refused.value.code == code
    assert refused.value.param == ("currency" if code == "unclear_currency" else "amount")
    assert repr(currency) in refused.value.message or str(minor) in refused.value.message


@pytest.mark.parametrize("signature", [None, "", "t=1", "v1=abc", "t=x,v1=abc", "t=1,v1=\u00e9", "=,=", "t=1,v1=abc"])
def test_a_signature_of_another_form_is_refused(signature: str | None) -> None:
    with pytest.raises(BadInputError) as refused:
        verify(b"{}", signature, "whsec_test")
    assert refused.value.code == "invalid_signature"


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(BadInputError):
        verify(b"\xff", "t=1,v1=abc", "whsec_test")


def test_without_a_secret_nothing_is_taken_and_the_answer_says_what_to_do() -> None:
    with pytest.raises(UnavailableError, match="TOLLBOOK_STRIPE_WEBHOOK_SECRET"):
        verify(b"{}", "t=1,v1=abc", "")
