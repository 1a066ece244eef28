"""What Stripe's events say about our payments. Pure: from the event's JSON to one of a few facts, or to nothing.

A payment is named by its payment intent, whichever event announces it, so that one that appears as a finished checkout and as a
succeeded intent is posted once. Whose it is stands in its metadata: `account_id` and `bucket`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from services.settlement.errors import BadInputError

PROVIDER = "stripe"
Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Paid:
    """A payment that has arrived. `currency` is upper case, amounts are in its smallest unit."""

    payment_id: str
    account_id: str
    bucket: str
    amount_minor: int
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Returned:
    """The operator has paid back `total_minor` of a payment so far."""

    payment_id: str
    charge_id: str
    total_minor: int
    currency: str

    @property
    def dispute_id(self) -> str:
        """The name of this much of it."""
        return f"refund/{self.charge_id}/{self.total_minor}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Disputed:
    """A dispute has taken a payment, or (`won`) given it again."""

    payment_id: str
    dispute_id: str
    amount_minor: int
    currency: str
    reason: str
    won: bool


Fact = Paid | Returned | Disputed


def read_event(body: bytes) -> tuple[str, str, Fact | None]:
    """The event's id, its type, and the fact in it; None for what is none of ours.

    Raises BadInputError for what is no event of Stripe's.
    """
    try:
        event = orjson.loads(body)
        event_id, kind, content = str(event["id"]), str(event["type"]), event["data"]["object"]
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise BadInputError("the body is no event: send Stripe's events unchanged", code="invalid_event") from error
    reader = READERS.get(kind)
    if reader is None:
        return event_id, kind, None
    try:
        return event_id, kind, reader(content)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadInputError(f"the {kind} lacks what an event of its type has", code="invalid_event") from error


def _checkout(session: Object) -> Paid | None:
    """A checkout that was paid; one that will be paid later is announced again when it is."""
    if session["mode"] != "payment" or session["payment_status"] != "paid" or not session.get("payment_intent"):
        return None
    return _paid(session, _id(session["payment_intent"]), session["amount_total"])


def _intent(intent: Object) -> Paid | None:
    return _paid(intent, intent["id"], intent["amount_received"])


def _paid(found: Object, payment_id: str, amount: Any) -> Paid | None:
    metadata = found.get("metadata") or {}
    if not metadata.get("account_id"):
        return None
    return Paid(
        payment_id=str(payment_id),
        account_id=str(metadata["account_id"]),
        bucket=str(metadata.get("bucket", "")),
        amount_minor=_whole(amount),
        currency=str(found["currency"]).upper(),
    )


def _refunded(charge: Object) -> Returned | None:
    if not charge.get("payment_intent"):
        return None
    return Returned(
        payment_id=_id(charge["payment_intent"]),
        charge_id=str(charge["id"]),
        total_minor=_whole(charge["amount_refunded"]),
        currency=str(charge["currency"]).upper(),
    )


def _dispute(dispute: Object, *, won: bool) -> Disputed | None:
    if not dispute.get("payment_intent"):
        return None
    return Disputed(
        payment_id=_id(dispute["payment_intent"]),
        dispute_id=str(dispute["id"]),
        amount_minor=_whole(dispute["amount"]),
        currency=str(dispute["currency"]).upper(),
        reason=str(dispute.get("reason") or "disputed")[:200],
        won=won,
    )


def _id(reference: Any) -> str:
    """The id of an object that is named or expanded."""
    return str(reference["id"] if isinstance(reference, dict) else reference)


def _whole(amount: Any) -> int:
    if not isinstance(amount, int) or isinstance(amount, bool):
        raise TypeError("an amount is a whole number")
    return amount


READERS: dict[str, Callable[[Object], Fact | None]] = {
    "checkout.session.completed": _checkout,
    "checkout.session.async_payment_succeeded": _checkout,
    "payment_intent.succeeded": _intent,
    "charge.refunded": _refunded,
    "charge.dispute.funds_withdrawn": lambda found: _dispute(found, won=False),
    "charge.dispute.funds_reinstated": lambda found: _dispute(found, won=True),
}
