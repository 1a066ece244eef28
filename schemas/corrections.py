"""Events of `tollbook.ledger.v1` about money that moves beside requests: refunds, adjustments, chargebacks, promotional credit.

Amounts are nano of the bucket's currency. `repaid_nano` is the part of an amount that paid what was owed: it never reached the
bucket, so that `after_nano` = `before_nano` + the amount - `repaid_nano`.
"""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from schemas.envelope import Contract, Event, Identifier, UtcDatetime
from schemas.ledger import BalanceMove
from schemas.money import INT64_MAX, AmountNano, SignedAmountNano
from schemas.requests import KeyRef

PositiveNano = Annotated[int, Field(strict=True, gt=0, le=INT64_MAX)]
Reason = Annotated[str, Field(min_length=1, max_length=500)]


class RefundedData(Contract):
    """`refunded_nano` is everything that was refunded of the hold's charge so far, this refund included.

    `run_id` of the event names the run whose reserve the money went back to; it is None where it went to the customer's bucket.
    """

    txn_id: UUID
    hold_id: UUID
    key: KeyRef
    amount_nano: PositiveNano
    repaid_nano: AmountNano = 0
    charged_nano: AmountNano
    refunded_nano: AmountNano
    reason: Reason
    author: Identifier
    balance: BalanceMove


class AdjustedData(Contract):
    """`amount_nano` is below zero where money was taken from the bucket."""

    txn_id: UUID
    amount_nano: SignedAmountNano
    repaid_nano: AmountNano = 0
    reason: Reason
    author: Identifier
    balance: BalanceMove


class ChargedBackData(Contract):
    """A payment that its provider took back. What the bucket could not give, `owed_nano`, the customer owes."""

    txn_id: UUID
    provider: Identifier
    payment_id: Identifier
    dispute_id: Identifier
    amount_nano: PositiveNano
    owed_nano: AmountNano
    reason: Reason
    author: Identifier
    case_id: UUID | None = None
    balance: BalanceMove


class ChargebackReinstatedData(Contract):
    txn_id: UUID
    provider: Identifier
    payment_id: Identifier
    dispute_id: Identifier
    amount_nano: PositiveNano
    repaid_nano: AmountNano = 0
    reason: Reason
    author: Identifier
    balance: BalanceMove


class PromotionGrantedData(Contract):
    """The credit that expires is what reached the bucket: `amount_nano` - `repaid_nano`. Its id is `txn_id`."""

    txn_id: UUID
    amount_nano: PositiveNano
    repaid_nano: AmountNano = 0
    expires_at: UtcDatetime
    reason: Reason
    author: Identifier
    balance: BalanceMove


class CreditExpiredData(Contract):
    """`promotion_id` is the `txn_id` under which the credit was granted; a promotion may expire in several parts."""

    txn_id: UUID
    promotion_id: UUID
    amount_nano: PositiveNano
    balance: BalanceMove


class Refunded(Event):
    """A charge was given back, whole or in part."""

    type: Literal["Refunded"] = "Refunded"
    data: RefundedData


class Adjusted(Event):
    """An operator corrected a bucket."""

    type: Literal["Adjusted"] = "Adjusted"
    data: AdjustedData


class ChargedBack(Event):
    """A payment was taken back by its provider."""

    type: Literal["ChargedBack"] = "ChargedBack"
    data: ChargedBackData


class ChargebackReinstated(Event):
    """A payment that had been taken back was given again: the dispute was won."""

    type: Literal["ChargebackReinstated"] = "ChargebackReinstated"
    data: ChargebackReinstatedData


class PromotionGranted(Event):
    """Credit that expires was given."""

    type: Literal["PromotionGranted"] = "PromotionGranted"
    data: PromotionGrantedData


class CreditExpired(Event):
    """Promotional credit that nobody had spent was taken back."""

    type: Literal["CreditExpired"] = "CreditExpired"
    data: CreditExpiredData
