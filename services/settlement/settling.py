"""What a RequestCompleted does to the ledger. Pure: decided from the event, the holds' rows and the price books."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal
from uuid import UUID, uuid5

from schemas.attempts import Attempt, RequestCompleted
from schemas.envelope import new_id
from schemas.money import charge_nano
from services.settlement.errors import PoisonError
from services.settlement.pricebook import PriceBook

HELD = "HELD"
FORGERIES = UUID("3d0a5f5e-6d53-5a0e-9f0c-0d3c7b6c1d11")
"""Namespace of the ids of `payload_mismatch` cases."""
AMOUNT_BOUND_NANO = 10**18
"""A billion units: what is more is a broken report, and would come near the end of 64 bits."""
EXPIRED = "EXPIRED"
Kind = Literal["capture", "release", "late_usage"]
BookOf = Callable[[int], PriceBook | None]


@dataclass(slots=True)
class HoldRow:
    """A hold as the ledger has it: the columns of the statement `holds` in their order.

    `state` changes here as the batch is decided, so that its later events see it.
    """

    id: UUID
    request_id: UUID
    holder: str
    project_id: str
    key_id: str
    bucket: str
    currency: str
    account: int | None
    state: str
    amount_nano: int
    captured_nano: int
    price_version: int
    windows: list[int]
    run: str = ""
    reserved: bool = False

    @property
    def reserve(self) -> str | None:
        """The run whose reserve pays; None where the customer's own bucket does."""
        return self.run if self.reserved else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """What the charged attempt costs under its hold's price version, with the failed ones that a policy charges beside it.

    `beside_nano` is what of `nano` those failed ones cost.
    """

    hold: HoldRow
    attempt: Attempt
    nano: int
    beside_nano: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseDraft:
    """Something that needs a person's decision."""

    kind: str
    detail: str
    holder: str
    request_id: UUID | None = None
    hold_id: UUID | None = None
    currency: str | None = None
    exposure_nano: int | None = None
    id: UUID = field(default_factory=new_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorCost:
    """What a channel's provider is owed for the request."""

    channel: str
    currency: str
    nano: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """One event, decided: at most one of `capture` and `late` is set; `cases` may stand alone."""

    event: RequestCompleted
    kind: Kind
    capture: Charge | None = None
    late: Charge | None = None
    late_nano: int = 0
    releases: tuple[HoldRow, ...] = ()
    costs: tuple[OperatorCost, ...] = ()
    cases: tuple[CaseDraft, ...] = ()
    txn_id: UUID = field(default_factory=new_id)

    @property
    def status(self) -> str:
        """The receipt's status."""
        return {"capture": "settled", "release": "released", "late_usage": "expired"}[self.kind]


def decide(event: RequestCompleted, holds: dict[UUID, HoldRow], book_of: BookOf) -> Settlement:
    """Decide one event and end its holds in `holds`. Raises PoisonError for an event that contradicts itself or its price book.

    Nothing in `holds` has changed when it raises.
    """
    charge, cases = _charged(event, holds, book_of)
    costs = tuple(_costs(event.data.attempts))
    capture = charge if charge and charge.hold.state == HELD else None
    late = charge if charge and charge.hold.state == EXPIRED else None
    if charge and not capture and not late:
        cases = (_case(event, "usage_after_end", f"the hold had ended before as {charge.hold.state}", charge, charge.nano),)
    if capture and (excess := capture.nano - capture.hold.amount_nano) > 0:
        cases = (*cases, _case(event, "overrun", "the provider counted more than the hold's bound allows", capture, excess))
    charged_id = charge.hold.id if charge else None
    releases = tuple(_open_holds(event, holds, charged_id))
    if capture:
        capture.hold.state = "CAPTURED"
    for hold in releases:
        hold.state = "RELEASED"
    return Settlement(
        event=event,
        kind="capture" if capture else "late_usage" if late else "release",
        capture=capture,
        late=late,
        late_nano=max(late.nano - late.hold.captured_nano, 0) if late else 0,
        releases=releases,
        costs=costs,
        cases=cases,
    )


def repeated(event: RequestCompleted) -> CaseDraft:
    """The case of a second RequestCompleted, under another id, for a request that is settled."""
    return CaseDraft(
        kind="second_completion",
        detail=f"event {event.event_id} completes a request that was settled before; nothing was posted",
        holder=event.account_id,
        request_id=event.request_id,
    )


def forged(event: RequestCompleted, place: str) -> CaseDraft:
    """The case of an event id that came again with another payload. Its id is the place's, so that it is opened once."""
    return CaseDraft(
        id=uuid5(FORGERIES, place),
        kind="payload_mismatch",
        detail=f"event {event.event_id} came again with another payload; nothing was posted",
        holder=event.account_id,
        request_id=event.request_id,
    )


def _charged(
    event: RequestCompleted, holds: dict[UUID, HoldRow], book_of: BookOf
) -> tuple[Charge | None, tuple[CaseDraft, ...]]:
    number = event.data.charged_attempt
    if number is None:
        return None, ()
    attempt = next((each for each in event.data.attempts if each.attempt == number), None)
    if attempt is None:
        raise PoisonError("inconsistent", f"attempt {number} is charged but not listed")
    hold = holds.get(attempt.hold_id)
    if hold is None or hold.holder != event.account_id or hold.request_id != event.request_id:
        what = "is not in the ledger" if hold is None else "belongs to another request"
        case = CaseDraft(
            kind="unknown_hold",
            detail=f"the charged attempt's hold {attempt.hold_id} {what}; nothing was charged",
            holder=event.account_id,
            request_id=event.request_id,
            hold_id=attempt.hold_id,
            currency=event.data.currency,
            exposure_nano=event.data.cost_nano,
        )
        return None, (case,)
    also = sum(_price(each, hold, book_of) for each in _beside(event, attempt))
    nano = _bounded(_price(attempt, hold, book_of) + also)
    return Charge(hold=hold, attempt=attempt, nano=nano, beside_nano=also), ()


def _beside(event: RequestCompleted, charged: Attempt) -> Iterable[Attempt]:
    """The failed attempts that are charged too. Raises PoisonError for one that the same hold does not pay."""
    numbers = event.data.also_charged
    if len({*numbers, charged.attempt}) != len(numbers) + 1:
        raise PoisonError("inconsistent", "an attempt is charged twice")
    for number in numbers:
        attempt = next((each for each in event.data.attempts if each.attempt == number), None)
        if attempt is None or attempt.hold_id != charged.hold_id:
            raise PoisonError("inconsistent", f"attempt {number} is charged and not under the hold that pays")
        yield attempt


def _price(attempt: Attempt, hold: HoldRow, book_of: BookOf) -> int:
    book = book_of(hold.price_version)
    prices = book.prices.get((attempt.route_type, attempt.upstream_model)) if book else None
    bucket = book.buckets.get(attempt.route_type) if book else None
    if prices is None or bucket is None:
        raise PoisonError(
            "unpriced", f"{attempt.upstream_model} on {attempt.route_type} has no price in book {hold.price_version}"
        )
    if bucket.id != hold.bucket or bucket.currency != hold.currency:
        raise PoisonError("wrong_bucket", f"{attempt.route_type} is paid from {bucket.id}, the hold is on {hold.bucket}")
    return _bounded(charge_nano(prices, attempt.usage))


def _bounded(nano: int) -> int:
    if nano > AMOUNT_BOUND_NANO:
        raise PoisonError("amount_out_of_range", "the usage amounts to more than any balance can be")
    return nano


def _open_holds(event: RequestCompleted, holds: dict[UUID, HoldRow], charged_id: UUID | None) -> Iterable[HoldRow]:
    for hold_id in dict.fromkeys(event.data.hold_ids):
        hold = holds.get(hold_id)
        if hold is None or hold.id == charged_id or hold.state != HELD:
            continue
        if hold.holder == event.account_id and hold.request_id == event.request_id:
            yield hold


def _costs(attempts: list[Attempt]) -> Iterable[OperatorCost]:
    total: dict[tuple[str, str], int] = {}
    for attempt in attempts:
        if attempt.operator_cost_nano and attempt.operator_cost_currency:
            key = (attempt.channel, attempt.operator_cost_currency)
            total[key] = total.get(key, 0) + attempt.operator_cost_nano
    for (channel, currency), nano in total.items():
        yield OperatorCost(channel=channel, currency=currency, nano=_bounded(nano))


def _case(event: RequestCompleted, kind: str, detail: str, charge: Charge, exposure_nano: int) -> CaseDraft:
    return CaseDraft(
        kind=kind,
        detail=detail,
        holder=event.account_id,
        request_id=event.request_id,
        hold_id=charge.hold.id,
        currency=charge.hold.currency,
        exposure_nano=exposure_nano,
    )
