"""Payments as Stripe tells of them: once, whatever comes twice, late or in another order. Nothing is guessed or converted."""

import itertools
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import orjson
import pytest
from stripe import WebhookSignature

from services.settlement.admin_calls import unknown_account
from services.settlement.errors import BadInputError, UnavailableError
from services.settlement.migrate import migrate
from services.settlement.stripe_store import RefusalOf, take_event
from services.settlement.webhook_api import TOLERANCE_S
from tests.integration.settlement.corrections import CASES
from tests.integration.settlement.ledger import PRICES, Ledger
from tests.integration.settlement.processes import Service, running

UNIT = 1_000_000_000
SECRET = "whsec_a_test"
ACCOUNT = "acc_0123456789abcdef"
OURS = {"account_id": ACCOUNT, "bucket": "credit"}


def event(kind: str, content: dict[str, Any], event_id: str | None = None) -> bytes:
    """An event's body."""
    body = {"id": event_id or f"evt_{uuid4().hex}", "object": "event", "type": kind, "data": {"object": content}}
    return orjson.dumps(body)


def intent(payment: str = "pi_1", amount: int = 2_500, currency: str = "usd", **metadata: Any) -> bytes:
    """A payment that has arrived."""
    content = {"id": payment, "amount_received": amount, "currency": currency, "metadata": OURS | metadata}
    return event("payment_intent.succeeded", content)


def checkout(payment: str = "pi_1", amount: int = 2_500, **metadata: str) -> bytes:
    """The same payment as a finished checkout."""
    content = {"id": "cs_1", "mode": "payment", "payment_status": "paid", "payment_intent": payment, "amount_total": amount}
    return event("checkout.session.completed", content | {"currency": "usd", "metadata": OURS | metadata})


def returned(total: int, payment: str = "pi_1") -> bytes:
    """So much of a payment was paid back so far."""
    content = {"id": f"ch_{payment}", "payment_intent": payment, "amount_refunded": total, "currency": "usd"}
    return event("charge.refunded", content)


def dispute(kind: str, amount: int = 2_500, name: str = "dp_1", *, currency: str = "usd", payment: str = "pi_1") -> bytes:
    """Money that a dispute takes or gives again."""
    content = {"id": name, "payment_intent": payment, "amount": amount, "currency": currency, "reason": "fraudulent"}
    return event(f"charge.dispute.{kind}", content)


class Stripe:
    """Sends events to a ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    def send(self, *bodies: bytes, refusal_of: RefusalOf | None = None) -> list[str]:
        """What became of each."""
        ledger = self.ledger
        return [take_event(ledger.connection, body, ledger.books.in_force, CASES, refusal_of) for body in bodies]

    @property
    def state(self) -> tuple[int, int]:
        """(posted, owed) of the account's credit."""
        rows = self.ledger.rows(f"select posted, overrun from bucket_balance where holder = '{ACCOUNT}' and bucket = 'credit'")
        return (rows[0]["posted"], rows[0]["overrun"]) if rows else (0, 0)

    def cases(self) -> list[tuple[str, str]]:
        """(kind, detail) of every case."""
        return [(row["kind"], row["detail"]) for row in self.ledger.rows('select kind, detail from "case" order by opened_at')]


@pytest.fixture
def stripe(ledger: Ledger) -> Stripe:
    """Stripe before an empty ledger."""
    return Stripe(ledger)


def test_one_payment_that_is_told_twice_is_posted_once(stripe: Stripe) -> None:
    once = intent()
    assert stripe.send(checkout(), once, once, checkout()) == ["posted", "repeated", "repeated", "repeated"]
    assert stripe.state == (25 * UNIT, 0)
    assert stripe.ledger.count("txn") == 1
    stripe.ledger.assert_sound()


def test_other_events_and_other_peoples_payments_are_ignored(stripe: Stripe) -> None:
    unknown = event("invoice.paid", {"id": "in_1"})
    not_ours = event("payment_intent.succeeded", {"id": "pi_2", "amount_received": 5, "currency": "usd", "metadata": {}})
    assert stripe.send(unknown, not_ours) == ["ignored", "ignored"]
    assert stripe.ledger.count("txn") == 0
    with pytest.raises(BadInputError):
        stripe.send(b"{}")


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (intent(currency="eur"), "bucket credit is in USD"),
        (intent(bucket="gold"), "there is no bucket 'gold'"),
        (intent(bucket=""), "there is no bucket ''"),
        (intent(amount=0), "0 is not an amount of a payment"),
        (intent(bucket="b" * 128), f"there is no bucket {'b' * 128!r}"),
        (intent(bucket="wallet"), "bucket wallet is in CNY"),
    ],
)
def test_what_does_not_fit_a_bucket_becomes_one_case_and_is_not_posted(stripe: Stripe, body: bytes, why: str) -> None:
    assert stripe.send(body, body) == ["case", "case"]
    ((kind, detail),) = stripe.cases()
    assert kind == "unposted_payment"
    assert detail.endswith(f"was not posted: {why}")
    assert stripe.ledger.count("txn") == 0
    stripe.ledger.assert_sound()


@pytest.mark.parametrize("name", [{"a": 1}, ["a"], 7, True, "a\n", "\u200b", "a" * 129])
@pytest.mark.parametrize("where", ["account_id", "bucket"])
def test_a_name_that_is_no_plain_text_is_a_case_and_never_made_into_one(stripe: Stripe, where: str, name: Any) -> None:
    body = intent(**{where: name})
    assert stripe.send(body, body) == ["case", "case"]
    ((kind, detail),) = stripe.cases()
    assert kind == "unposted_payment"
    assert detail.endswith(f"its {where} is no text of 1 to 128 printable characters")
    assert stripe.ledger.count("txn") == 0
    stripe.ledger.assert_sound()


@pytest.mark.parametrize("account", ["acc_0123456789abcde", f"{ACCOUNT} ", f" {ACCOUNT}", "acc_0123456789abcde\u00e9", "a"])
def test_a_payment_for_an_account_that_nobody_knows_is_a_case(stripe: Stripe, account: str) -> None:
    body = intent(account_id=account)
    assert stripe.send(body, body) == ["case", "case"]
    ((kind, detail),) = stripe.cases()
    assert kind == "unknown_account"
    assert repr(account) in detail
    assert stripe.ledger.count("txn") == 0
    stripe.ledger.assert_sound()


def test_with_edge_to_ask_its_word_counts_and_neither_form_nor_bucket(stripe: Stripe) -> None:
    stripe.ledger.top_up("a", "credit", "1")
    assert stripe.send(intent("pi_2", account_id="made"), refusal_of=lambda _: None) == ["posted"]
    for name in (ACCOUNT, "a"):
        body = intent(f"pi_{name}", account_id=name)
        assert stripe.send(body, body, refusal_of=unknown_account) == ["case", "case"]
    assert [kind for kind, _ in stripe.cases()] == ["unknown_account"] * 2
    assert stripe.state == (0, 0)
    stripe.ledger.assert_sound()


def test_a_payment_comes_again_while_edge_cannot_be_asked_and_is_posted_once(stripe: Stripe) -> None:
    body = intent(account_id=ACCOUNT)
    with pytest.raises(UnavailableError):
        stripe.send(body, refusal_of=lambda _: UnavailableError("edge is away"))
    assert (stripe.state, stripe.cases()) == ((0, 0), [])
    assert stripe.send(body, refusal_of=lambda _: None) == ["posted"]
    assert stripe.send(body, refusal_of=unknown_account) == ["repeated"], "what is posted needs nobody's word any more"
    assert (stripe.state, stripe.cases()) == ((25 * UNIT, 0), [])


def test_an_account_that_has_a_bucket_is_known_whatever_its_name(stripe: Stripe) -> None:
    stripe.ledger.top_up("a", "credit", "1")
    assert stripe.send(intent(account_id="a")) == ["posted"]
    assert stripe.ledger.balance("a") == (26 * UNIT, 0)


@pytest.mark.parametrize(
    "body",
    [
        intent(payment="p" * 129),
        intent(currency="u" * 200),
        dispute("funds_withdrawn", name="d" * 129),
        dispute("funds_withdrawn", currency="u" * 200),
        dispute("funds_withdrawn", name=""),
    ],
)
def test_what_has_an_unusable_name_is_a_case_and_later_events_are_posted(stripe: Stripe, body: bytes) -> None:
    assert stripe.send(body, intent(), dispute("funds_withdrawn", 500)) == ["case", "posted", "posted"]
    assert stripe.state == (20 * UNIT, 0)
    assert stripe.ledger.count("early_notice") == 0
    stripe.ledger.assert_sound()


def test_an_early_notice_whose_names_are_too_long_together_does_not_stop_its_payment(stripe: Stripe) -> None:
    content = {"id": "c" * 128, "payment_intent": "pi_1", "amount_refunded": 500, "currency": "usd"}
    assert stripe.send(event("charge.refunded", content), intent(), intent()) == ["waiting", "posted", "repeated"]
    assert [kind for kind, _ in stripe.cases()] == ["unposted_chargeback"]
    assert stripe.state == (25 * UNIT, 0)
    assert stripe.ledger.count("early_notice") == 0
    stripe.ledger.assert_sound()


def test_the_same_payment_with_another_amount_is_a_case(stripe: Stripe) -> None:
    assert stripe.send(intent(), intent(amount=2_600)) == ["posted", "case"]
    assert stripe.state == (25 * UNIT, 0)
    assert stripe.cases()[0][0] == "unposted_payment"
    stripe.ledger.assert_sound()


def test_a_zero_decimal_currency_is_read_in_whole_units(ledger: Ledger) -> None:
    ledger.publish(PRICES.read_text("utf-8").replace("CNY", "JPY"))
    assert Stripe(ledger).send(intent(amount=500, currency="jpy", bucket="wallet")) == ["posted"]
    assert ledger.balance(ACCOUNT, "wallet") == (500 * UNIT, 0)
    ledger.assert_sound()


def test_what_is_paid_back_at_stripe_is_taken_once_in_any_order(stripe: Stripe) -> None:
    steps = [returned(500), returned(1_200), returned(2_500)]
    stripe.send(intent())
    assert stripe.send(steps[0], steps[0]) == ["posted", "repeated"]
    assert stripe.state == (20 * UNIT, 0)
    assert stripe.send(steps[2], steps[1], returned(1_200)) == ["posted", "repeated", "repeated"]
    assert stripe.state == (0, 0)
    assert stripe.cases() == []
    stripe.ledger.assert_sound()


def test_a_dispute_takes_and_gives_again(stripe: Stripe) -> None:
    stripe.send(intent())
    stripe.ledger.adjust(ACCOUNT, "credit", "-5")
    lost, won = dispute("funds_withdrawn"), dispute("funds_reinstated")
    assert stripe.send(lost, lost) == ["posted", "repeated"]
    assert stripe.state == (0, 5 * UNIT)
    assert [kind for kind, _ in stripe.cases()] == ["chargeback"]
    assert stripe.send(won, won, lost) == ["posted", "repeated", "repeated"]
    assert stripe.state == (20 * UNIT, 0)
    stripe.ledger.assert_sound()


def test_every_order_of_events_comes_to_the_same(stripe: Stripe) -> None:
    for number, order in enumerate(itertools.permutations(range(5))):
        payment, account, name = f"pi_{number}", f"acc_{number:016d}", f"dp_{number}"
        events = [
            intent(payment, account_id=account),
            checkout(payment, account_id=account),
            returned(700, payment),
            dispute("funds_withdrawn", 1_800, name, payment=payment),
            dispute("funds_reinstated", 1_800, name, payment=payment),
        ]
        assert "case" not in stripe.send(*[events[index] for index in order])
        assert stripe.send(*events) == ["repeated"] * 5
        assert stripe.ledger.balance(account) == (18 * UNIT, 0)
    assert stripe.ledger.count("early_notice") == 0
    stripe.ledger.assert_sound()


def test_a_dispute_that_does_not_fit_the_payment_is_a_case(stripe: Stripe) -> None:
    stripe.send(intent())
    assert stripe.send(dispute("funds_withdrawn", 2_600), dispute("funds_withdrawn", name="dp_2", currency="eur")) == [
        "case",
        "case",
    ]
    assert stripe.state == (25 * UNIT, 0)
    assert {kind for kind, _ in stripe.cases()} == {"unposted_chargeback"}
    stripe.ledger.assert_sound()


def test_a_dispute_that_an_operator_posted_by_hand_is_not_posted_again(stripe: Stripe) -> None:
    stripe.send(intent())
    stripe.ledger.charge_back("pi_1", "25", dispute_id="dp_1", provider="stripe")
    assert stripe.send(dispute("funds_withdrawn")) == ["repeated"]
    assert stripe.state == (0, 0)
    stripe.ledger.assert_sound()


@pytest.fixture(scope="module")
def api(module_database_url: str, kafka_bootstrap_servers: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The API with a webhook secret."""
    migrate(module_database_url)
    log = tmp_path_factory.mktemp("settlement") / "api.log"
    secret = {"TOLLBOOK_STRIPE_WEBHOOK_SECRET": SECRET}
    with running("services.settlement", log, module_database_url, kafka_bootstrap_servers, **secret) as service:
        yield service


def signed(body: bytes, secret: str = SECRET, *, age_s: int = 0) -> dict[str, str]:
    """Stripe's header for a body."""
    import time

    made = WebhookSignature.generate_signature_header(body.decode(), secret, int(time.time()) - age_s)
    return {"stripe-signature": made, "content-type": "application/json"}


def test_only_what_stripe_has_just_signed_is_taken(api: Service) -> None:
    body = intent("pi_http", account_id=ACCOUNT)
    for headers, content in (
        ({}, body),
        (signed(body, "whsec_another"), body),
        (signed(body, age_s=TOLERANCE_S + 5), body),
        (signed(body), body.replace(b"2500", b"9500")),
        ({"stripe-signature": "nonsense"}, body),
    ):
        reply = api.client.post("/webhooks/stripe", content=content, headers=headers)
        assert (reply.status_code, reply.json()["error"]["code"]) == (400, "invalid_signature")
    assert api.call("GET", f"/admin/accounts/{ACCOUNT}/balances").json()["data"] == []
    for outcome in ("posted", "repeated"):
        reply = api.client.post("/webhooks/stripe", content=body, headers=signed(body))
        assert reply.json() == {"received": True, "outcome": outcome}
    assert api.balance(ACCOUNT) == (25 * UNIT, 0)
    assert 'tollbook_settlement_payment_events_total{outcome="posted",provider="stripe"} 1.0' in api.client.get("/metrics").text


def test_without_a_secret_the_endpoint_says_what_to_do(
    module_database_url: str, kafka_bootstrap_servers: str, tmp_path_factory: pytest.TempPathFactory, api: Service
) -> None:
    assert api.process.poll() is None
    log = tmp_path_factory.mktemp("settlement") / "api.log"
    with running("services.settlement", log, module_database_url, kafka_bootstrap_servers) as service:
        reply = service.client.post("/webhooks/stripe", content=b"{}")
    assert (reply.status_code, reply.json()["error"]["code"]) == (503, "webhook_not_configured")
    assert "TOLLBOOK_STRIPE_WEBHOOK_SECRET" in reply.json()["error"]["message"]
