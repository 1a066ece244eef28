"""Payments that their provider takes back, and gives again when a dispute is won. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from schemas.money import format_amount, parse_amount
from services.settlement.errors import ConflictError, InvalidError
from services.settlement.money_in import DecimalText, Name, ProviderName, Reason, digest


class Chargeback(BaseModel):
    """Body of `POST /admin/chargebacks`. An amount of None is all that is left of the payment."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    provider: ProviderName
    payment_id: Name
    dispute_id: Name
    amount: DecimalText | None = None
    reason: Reason
    author: Name = "admin"

    @property
    def amount_nano(self) -> int | None:
        """The amount in nano; None for all that is left. Raises InvalidError for zero."""
        return _not_zero(self.amount)

    @property
    def idem_key(self) -> str:
        """Unique for ever: a dispute takes money once."""
        return f"chargeback:{self.provider}:{self.dispute_id}"

    @property
    def request_hash(self) -> bytes:
        """Digest of the money that is moved: the provider's word and an operator's may give another reason for it."""
        return digest(self.provider, self.payment_id, self.dispute_id, self.amount_nano)


class Reinstatement(BaseModel):
    """Body of `POST /admin/reinstatements`. An amount of None is all that the dispute took."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    provider: ProviderName
    dispute_id: Name
    amount: DecimalText | None = None
    reason: Reason
    author: Name = "admin"

    @property
    def amount_nano(self) -> int | None:
        """The amount in nano; None for all. Raises InvalidError for zero."""
        return _not_zero(self.amount)

    @property
    def idem_key(self) -> str:
        """Unique for ever: a dispute is won once."""
        return f"reinstatement:{self.provider}:{self.dispute_id}"

    @property
    def request_hash(self) -> bytes:
        """Digest of the money that is moved."""
        return digest(self.provider, self.dispute_id, self.amount_nano)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispute:
    """What one dispute took of a payment, and what of that was given again."""

    dispute_id: str
    amount_nano: int
    reinstated_nano: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """A top-up with everything that its provider took back of it."""

    txn_id: UUID
    account_id: str
    bucket: str
    currency: str
    provider: str
    payment_id: str
    amount_nano: int
    disputes: Sequence[Dispute] = ()

    @property
    def left_nano(self) -> int:
        """What the provider has not taken back."""
        return self.amount_nano - sum(each.amount_nano - each.reinstated_nano for each in self.disputes)


def chargeable(payment: Payment, asked_nano: int | None) -> int:
    """How much is taken back, in nano. Raises ConflictError where less than that is left of the payment."""
    nano = payment.left_nano if asked_nano is None else asked_nano
    if nano > payment.left_nano or nano <= 0:
        raise ConflictError(
            f"of payment {payment.payment_id}, {format_amount(payment.amount_nano)} {payment.currency},"
            f" {format_amount(payment.left_nano)} is left to take back",
            code="chargeback_exceeds_payment",
            param="amount",
        )
    return nano


def reinstatable(dispute: Dispute, asked_nano: int | None) -> int:
    """How much is given again, in nano. Raises ConflictError where the dispute took less."""
    nano = dispute.amount_nano if asked_nano is None else asked_nano
    if nano > dispute.amount_nano:
        raise ConflictError(
            f"dispute {dispute.dispute_id} took {format_amount(dispute.amount_nano)}: give again at most that",
            code="reinstatement_exceeds_chargeback",
            param="amount",
        )
    return nano


def _not_zero(amount: str | None) -> int | None:
    nano = None if amount is None else parse_amount(amount)
    if nano == 0:
        raise InvalidError("the amount must be more than zero", code="invalid_amount", param="amount")
    return nano
