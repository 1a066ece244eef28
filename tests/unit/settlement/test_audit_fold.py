"""An account's books from its events alone."""

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest

from schemas import topics
from schemas.corrections import Refunded, RefundedData
from schemas.envelope import Event, new_id
from schemas.ledger import (
    BalanceMove,
    Captured,
    CapturedData,
    Expired,
    ExpiredData,
    HoldPlaced,
    HoldPlacedData,
    Released,
    ReleasedData,
    ToppedUp,
    ToppedUpData,
)
from schemas.money import Prices, Usage, charge_nano
from schemas.registry import EVENTS
from schemas.requests import KeyRef
from services.settlement.audit.facts import NONE, TXN, fact_of
from services.settlement.audit.fold import AccountFold, Around
from services.settlement.audit.given import GIVEN
from services.settlement.audit.spending import Envelope
from services.settlement.pricebook import Bucket, PriceBook
from tests.integration.settlement.requests_made import USAGE, attempt_on, completion, hold_for

E = TypeVar("E", bound=Event)
KEY = KeyRef(project_id="p", key_id="k")
PRICES = Prices.parse("2.5", "10")
BOOK = PriceBook(
    version=1, sha256="x", buckets={"direct": Bucket("credit", "USD")}, prices={("direct", "gpt-4o"): PRICES}, items=()
)
CHARGE = charge_nano(PRICES, USAGE)
NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)
POSITIONS = itertools.count()
ENVELOPE = Envelope("key", "k", "USD", "day")


def fold(**fields: Any) -> AccountFold:
    made: dict[str, Any] = {"envelopes": [], "cost_centres": [], "closings": {}, "book_of": {1: BOOK}.get}
    return AccountFold("a", **{**made, **fields})


def paid(nano: int, before: int = 0, repaid: int = 0) -> ToppedUp:
    txn, after = new_id(), before + nano - repaid
    move = BalanceMove(bucket="credit", currency="USD", before_nano=before, after_nano=after, held_after_nano=0)
    data = ToppedUpData(txn_id=txn, provider="bank", payment_id="1", amount_nano=nano, balance=move)
    return ToppedUp(event_id=txn, account_id="a", data=data)


class Told:
    """One request as the two topics tell it."""

    def __init__(self, amount: int = 10_000_000, at: datetime = NOON, usage: Usage = USAGE) -> None:
        self.hold = hold_for("a", key=KEY)
        self.completion = completion(self.hold, attempts=[attempt_on(self.hold, usage=usage)])
        self.amount = amount
        self.at = at

    @property
    def around(self) -> Around:
        completions, placed = {self.hold.request_id: self.completion}, {self.hold.hold_id: (0, self.placed())}
        return Around(completions, placed, {self.hold.hold_id: 10**9})

    def placed(self) -> HoldPlaced:
        data = HoldPlacedData(
            hold_id=self.hold.hold_id,
            key=KEY,
            bucket="credit",
            currency="USD",
            amount_nano=self.amount,
            price_version=1,
            input_tokens_bound=1,
            output_cap=1,
            channel="c",
            deadline_at=self.at,
        )
        return self._about(HoldPlaced(event_id=self.hold.hold_id, account_id="a", data=data))

    def captured(self, charged: int = CHARGE) -> Captured:
        taken = min(charged, self.amount)
        data = CapturedData(
            hold_id=self.hold.hold_id,
            txn_id=new_id(),
            key=KEY,
            requested_model="gpt-4o",
            channel="c",
            route_type="direct",
            upstream_model="gpt-4o",
            usage=USAGE,
            price_version=1,
            hold_nano=self.amount,
            captured_nano=taken,
            released_nano=self.amount - taken,
            overrun_nano=charged - taken,
            balance=BalanceMove(bucket="credit", currency="USD", before_nano=0, after_nano=0, held_after_nano=0),
        )
        return self._about(Captured(event_id=data.txn_id, account_id="a", data=data))

    def released(self) -> Released:
        data = ReleasedData(
            hold_id=self.hold.hold_id, key=KEY, bucket="credit", currency="USD", amount_nano=self.amount, reason="not_charged"
        )
        return self._about(Released(account_id="a", data=data))

    def expired(self, charged: int) -> Expired:
        data = ExpiredData(
            hold_id=self.hold.hold_id,
            key=KEY,
            bucket="credit",
            currency="USD",
            charged_nano=charged,
            exposure_nano=self.amount - charged,
            case_id=new_id(),
        )
        return self._about(Expired(account_id="a", data=data))

    def refunded(self, nano: int, at: datetime) -> Refunded:
        before = 50_000_000 - CHARGE
        move = BalanceMove(bucket="credit", currency="USD", before_nano=before, after_nano=before + nano, held_after_nano=0)
        data = RefundedData(
            txn_id=new_id(),
            hold_id=self.hold.hold_id,
            key=KEY,
            amount_nano=nano,
            charged_nano=CHARGE,
            refunded_nano=nano,
            reason="test",
            author="test",
            balance=move,
        )
        return Refunded(event_id=data.txn_id, account_id="a", request_id=self.hold.request_id, occurred_at=at, data=data)

    def _about(self, event: E) -> E:
        return event.model_copy(update={"request_id": self.hold.request_id, "occurred_at": self.at})


def apply(books: AccountFold, event: Event, around: Around) -> None:
    """At the end of what was applied so far."""
    books.apply(event, around, next(POSITIONS))


def state(books: AccountFold) -> tuple[int, int, int]:
    """Posted, held, owed."""
    found = books.pots["credit", ""].state
    return found.posted, found.held, found.overrun


def test_a_capture_is_priced_anew_and_its_lines_are_told() -> None:
    books, told = fold(), Told()
    for event in (paid(20_000_000), told.placed(), told.captured()):
        apply(books, event, told.around)
    assert state(books) == (20_000_000 - CHARGE, 0, 0)
    output = books.drain()
    assert output.remarks == []
    lines = {(line.idem_key, line.account): line.credit for line in output.lines if line.idem_key}
    key = f"settle:{told.hold.request_id}"
    assert lines == {(key, "customer/a/credit/USD"): -CHARGE, (key, "revenue/USD"): CHARGE}


def test_a_charge_that_does_not_follow_from_the_completion_is_named() -> None:
    books, told = fold(), Told()
    for event in (paid(20_000_000), told.placed(), told.captured(CHARGE - 1)):
        apply(books, event, told.around)
    [remark] = books.drain().remarks
    assert remark.kind == "mispriced"
    assert str(told.hold.request_id) in remark.what


def test_what_exceeds_hold_and_balance_is_owed_until_a_payment() -> None:
    books, told = fold(), Told(amount=1_000)
    for event in (paid(1_500), told.placed(), told.captured(), paid(500, repaid=500)):
        apply(books, event, told.around)
    assert state(books) == (0, 0, CHARGE - 1_500 - 500)


def test_a_settlement_without_a_completion_is_named_and_not_believed() -> None:
    books, told = fold(), Told()
    for event in (paid(20_000_000), told.placed(), told.captured()):
        apply(books, event, Around())
    assert state(books) == (20_000_000, told.amount, 0)
    assert [remark.kind for remark in books.drain().remarks] == ["no_completion"]


def test_a_completion_whose_settlement_is_not_told_is_settled_at_the_end() -> None:
    books, told = fold(), Told()
    apply(books, paid(20_000_000), Around())
    apply(books, told.placed(), Around())
    assert books.waiting() == [told.hold.request_id]
    books.finish([told.completion])
    assert state(books) == (20_000_000 - CHARGE, 0, 0)


def test_a_request_is_settled_once_however_often_it_is_told() -> None:
    books, told = fold(), Told()
    for event in (paid(20_000_000), told.placed(), told.captured(), told.captured(), told.released()):
        apply(books, event, told.around)
    assert state(books) == (20_000_000 - CHARGE, 0, 0)


def test_an_expiry_is_taken_as_given_and_late_usage_moves_no_bucket() -> None:
    books, told = fold(), Told()
    late = told.released().model_copy(update={"type": "LateUsage"})
    for event in (paid(20_000_000), told.placed(), told.expired(300), late):
        apply(books, event, told.around)
    assert state(books) == (20_000_000 - 300, 0, 0)
    lines = {line.account: line.credit for line in books.drain().lines if line.idem_key == f"settle:{told.hold.request_id}"}
    assert lines == {"write_off/USD": -(CHARGE - 300), "revenue/USD": CHARGE - 300}


def test_an_expiry_of_a_hold_that_is_not_open_is_named() -> None:
    books, told = fold(), Told()
    apply(books, told.expired(0), Around())
    assert [remark.kind for remark in books.drain().remarks] == ["unknown_hold"]


def test_a_balance_that_does_not_follow_is_named_once_per_bucket() -> None:
    books = fold()
    for event in (paid(10), paid(10, before=11), paid(10, before=31)):
        apply(books, event, Around())
    assert [remark.kind for remark in books.drain().remarks] == ["diverged"]


def test_a_window_has_what_was_held_and_spent_of_the_holds_placed_in_it() -> None:
    today, tomorrow, open_hold = Told(), Told(at=NOON + timedelta(days=1)), Told(amount=77)
    books = fold(envelopes=[ENVELOPE])
    around = Around({**today.around.completions, **tomorrow.around.completions})
    events: list[Event] = [paid(50_000_000), today.placed(), tomorrow.placed(), open_hold.placed()]
    for event in (*events, tomorrow.captured(), today.captured()):
        apply(books, event, around)
    found = {start.day: (spent.held, spent.spent, spent.overrun) for (_, start), spent in books.spending.windows.items()}
    assert found == {14: (77, CHARGE, 0), 15: (0, CHARGE, 0)}


@pytest.mark.parametrize(("days", "spent"), [(0, CHARGE - 500), (1, CHARGE)])
def test_a_refund_is_given_back_to_the_window_only_while_it_is_open(days: int, spent: int) -> None:
    books, told = fold(envelopes=[ENVELOPE]), Told(amount=CHARGE - 200)
    for event in (paid(50_000_000), told.placed(), told.captured(), told.refunded(500, NOON + timedelta(days=days))):
        apply(books, event, told.around)
    [found] = books.spending.windows.values()
    assert (found.held, found.spent, found.overrun) == (0, spent, 0 if days == 0 else 200)
    assert state(books) == (50_000_000 - CHARGE + 500, 0, 0)
    assert books.drain().remarks == []


def test_a_refund_of_a_hold_that_was_never_placed_is_named() -> None:
    books, told = fold(), Told()
    for event in (paid(50_000_000), told.placed(), told.captured(), told.refunded(500, NOON)):
        apply(books, event, Around(told.around.completions))
    assert [remark.kind for remark in books.drain().remarks] == ["unknown_hold"]


def test_a_cost_centre_goes_below_zero_and_owes_nothing() -> None:
    books, told = fold(cost_centres=[("credit", "USD")]), Told(amount=1_000)
    for event in (told.placed(), told.captured()):
        apply(books, event, told.around)
    assert state(books) == (-CHARGE, 0, 0)


def moves_a_balance(model: type[Event]) -> bool:
    return "BalanceMove" in str(model.model_json_schema())


@pytest.mark.parametrize("name", [name for name, model in EVENTS[topics.LEDGER].items() if moves_a_balance(model)])
def test_every_event_that_moves_a_balance_is_known_to_the_fold(name: str) -> None:
    assert name in GIVEN or name == "Captured"


def test_every_event_of_a_transaction_names_it() -> None:
    event = paid(1)
    assert fact_of(event) == (TXN, event.data.txn_id)
    assert fact_of(Event(type="LimitChanged", account_id="a")) == (NONE, None)
