"""What Stripe's events say about our payments. Pure: from the event's JSON to one of a few facts, or to nothing.

A payment is named by its payment intent, whichever event announces it, so that one that appears as a finished checkout and as a
succeeded intent is posted once. Whose it is stands in its metadata: `account_id` and `bucket`.
A name that is no plain text is never made into one: what has such a name is :class:`Unusable`, which a person looks at.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from schemas.plain_text import shown
from services.settlement.errors import BadInputError

PROVIDER = "stripe"
Object = Mapping[str, Any]
LONGEST_NAME = 128
LONGEST_CURRENCY = 16


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Unusable:
    """Something was said of our money under a name that cannot be used. `about` is the event's id."""

    about: str
    why: str
    is_payment: bool


Fact = Paid | Returned | Disputed | Unusable


class _NameError(Exception):
    """A name is no plain text."""


def read_event(body: bytes) -> tuple[str, str, Fact | None]:
    """The event's id, its type, and the fact in it; None for what is none of ours.

    Raises BadInputError for what is no event of Stripe's, or has no usable id of its own.
    """
    try:
        event = orjson.loads(body)
        event_id, kind, content = _name(event["id"], "id"), _name(event["type"], "type"), event["data"]["object"]
    except (orjson.JSONDecodeError, KeyError, TypeError, _NameError) as error:
        raise BadInputError("the body is no event: send Stripe's events unchanged", code="invalid_event") from error
    reader = READERS.get(kind)
    if reader is None:
        return event_id, kind, None
    try:
        return event_id, kind, reader(content)
    except _NameError as error:
        return event_id, kind, Unusable(about=event_id, why=str(error), is_payment=reader in PAYING)
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
    if metadata.get("account_id") in (None, ""):
        return None
    return Paid(
        payment_id=_name(payment_id, "id"),
        account_id=_name(metadata["account_id"], "account_id"),
        bucket=_name(metadata["bucket"], "bucket") if metadata.get("bucket") not in (None, "") else "",
        amount_minor=_whole(amount),
        currency=_currency(found),
    )


def _refunded(charge: Object) -> Returned | None:
    if not charge.get("payment_intent"):
        return None
    return Returned(
        payment_id=_id(charge["payment_intent"]),
        charge_id=_name(charge["id"], "id"),
        total_minor=_whole(charge["amount_refunded"]),
        currency=_currency(charge),
    )


def _dispute(dispute: Object, *, won: bool) -> Disputed | None:
    if not dispute.get("payment_intent"):
        return None
    return Disputed(
        payment_id=_id(dispute["payment_intent"]),
        dispute_id=_name(dispute["id"], "id"),
        amount_minor=_whole(dispute["amount"]),
        currency=_currency(dispute),
        reason=shown(str(dispute.get("reason") or "disputed"))[:200],
        won=won,
    )


def _id(reference: Any) -> str:
    """The id of an object that is named or expanded."""
    return _name(reference["id"] if isinstance(reference, dict) else reference, "payment_intent")


def _name(value: Any, what: str) -> str:
    """The name as it is: 1 to 128 printable characters."""
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_NAME or not value.isprintable():
        raise _NameError(f"its {what} is no text of 1 to {LONGEST_NAME} printable characters")
    return value


def _currency(found: Object) -> str:
    code = _name(found["currency"], "currency").upper()
    if len(code) > LONGEST_CURRENCY:
        raise _NameError("its currency is too long to be one")
    return code


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
PAYING = (_checkout, _intent)
