"""Refunds of charges, as operators ask for them and as they are decided. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from schemas.money import format_amount, parse_amount
from services.settlement.errors import ConflictError, InvalidError
from services.settlement.money_in import DecimalText, Name, Reason, digest


class Refund(BaseModel):
    """Body of `POST /admin/refunds`. An amount of None refunds all that is left; `hold_id` is needed only where the ledger
    charged a request twice (an attempt that was lost and expired, and the one that answered)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    account_id: Name
    request_id: UUID
    amount: DecimalText | None = None
    reason: Reason
    author: Name = "admin"
    key: Name
    hold_id: UUID | None = None

    @property
    def amount_nano(self) -> int | None:
        """The amount in nano; None for all that is left. Raises InvalidError for zero."""
        nano = None if self.amount is None else parse_amount(self.amount)
        if nano == 0:
            raise InvalidError("a refund must be more than zero", code="invalid_amount", param="amount")
        return nano

    @property
    def idem_key(self) -> str:
        """Unique for ever."""
        return f"refund:{self.key}"

    @property
    def request_hash(self) -> bytes:
        """Digest of what was asked for."""
        hold = str(self.hold_id) if self.hold_id else None
        return digest(self.account_id, str(self.request_id), self.amount_nano, self.reason, self.author, hold)


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """What a hold's end charged, and what of it was refunded.

    `account` is the bucket that paid, a run's reserve or the customer's; `beyond_hold_nano` is the part of the charge above the
    hold; `windows` are those that the charge is counted in.
    """

    hold_id: UUID
    request_id: UUID
    project_id: str
    key_id: str
    key_name: str
    bucket: str
    currency: str
    account: int | None
    run: str
    state: str
    charged_nano: int
    beyond_hold_nano: int
    refunded_nano: int
    windows: tuple[int, ...]
    ended_at: datetime | None

    @property
    def left_nano(self) -> int:
        """What may still be refunded. A charge that no bucket could take is only owed: nothing of it can go back."""
        return 0 if self.account is None else self.charged_nano - self.refunded_nano


def chosen(charges: Sequence[Charge], asked: Refund) -> Charge:
    """The charge that is meant. Raises ConflictError where there is none, or more than one and none was named."""
    found = [charge for charge in charges if asked.hold_id in {None, charge.hold_id}]
    charged = [charge for charge in found if charge.charged_nano > 0]
    if not charged:
        waiting = any(charge.state == "HELD" for charge in found)
        why = "is not settled yet: refund it when it is" if waiting else "was charged nothing: there is nothing to refund"
        raise ConflictError(f"request {asked.request_id} {why}", code="not_settled" if waiting else "nothing_to_refund")
    if len(charged) > 1:
        holds = ", ".join(str(charge.hold_id) for charge in charged)
        raise ConflictError(f"the request was charged by several holds, name one as hold_id: {holds}", code="several_charges")
    return charged[0]


def refundable(charge: Charge, asked_nano: int | None) -> int:
    """How much goes back, in nano. Raises ConflictError where less than that is left."""
    nano = charge.left_nano if asked_nano is None else asked_nano
    if nano > charge.left_nano or nano == 0:
        currency = charge.currency
        raise ConflictError(
            f"{format_amount(charge.charged_nano)} {currency} was charged and {format_amount(charge.refunded_nano)} refunded:"
            f" {format_amount(charge.left_nano)} {currency} is left to refund",
            code="refund_exceeds_charge",
            param="amount",
        )
    return nano


def beyond_hold(charge: Charge, nano: int) -> int:
    """The part of a refund that takes back what the windows count as beyond the hold: it goes back first, once."""
    return min(nano, max(charge.beyond_hold_nano - charge.refunded_nano, 0))
