"""What admin calls answer, as OpenAPI shows it. Amounts are integers of nano, and decimal texts in the bucket's currency."""

from datetime import date as date_of
from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

Item = TypeVar("Item")


class Page(BaseModel, Generic[Item]):
    """A page of a list. `next_after` is what to give as `after` for the following page, null at the end."""

    object: Literal["list"]
    data: list[Item]
    next_after: str | None


class Around(BaseModel):
    """A bucket before and after a transaction."""

    before_nano: int
    after_nano: int
    held_nano: int


class Moved(BaseModel):
    """What every transaction on a bucket answers."""

    txn_id: UUID
    account_id: str
    bucket: str
    currency: str
    amount: str
    amount_nano: int
    balance: Around


class ToppedUpReply(Moved):
    """A payment that was added."""

    provider: str
    payment_id: str
    repaid_nano: int


class RefundReply(Moved):
    """A charge that went back, whole or in part."""

    request_id: UUID
    hold_id: UUID
    project_id: str
    key_id: str
    run_id: str | None
    repaid_nano: int
    beyond_hold_nano: int
    charged_nano: int
    refunded_nano: int
    left_nano: int
    reason: str
    author: str


class AdjustmentReply(Moved):
    """What was given or taken by hand."""

    repaid_nano: int
    reason: str
    author: str


class PromotionReply(AdjustmentReply):
    """Credit that expires."""

    promotion_id: UUID
    expires_at: datetime


class ChargebackReply(Moved):
    """A payment that its provider took back."""

    provider: str
    payment_id: str
    dispute_id: str
    owed_nano: int
    case_id: UUID | None
    reason: str
    author: str


class ReinstatementReply(Moved):
    """A payment that was given again."""

    provider: str
    payment_id: str
    dispute_id: str
    repaid_nano: int
    reason: str
    author: str


class LimitReply(BaseModel):
    """A limit as it was set; `limit` null removed it."""

    account_id: str
    kind: str
    id: str
    currency: str
    window: str
    limit: str | None
    limit_nano: int | None
    version: int
    changed_by: str | None


class CostCentreReply(LimitReply):
    """A bucket that its limit funds."""

    bucket: str
    funding: Literal["limit"]


class LimitRow(LimitReply):
    """A limit with what its newest window holds."""

    number: int
    changed_at: datetime
    window_start: datetime | None
    held_nano: int
    spent_nano: int


class PromotionLeft(BaseModel):
    """What is left of credit that expires."""

    promotion_id: UUID
    amount_nano: int
    expires_at: datetime


class BalanceRow(BaseModel):
    """One bucket."""

    bucket: str
    currency: str
    posted_nano: int
    held_nano: int
    available_nano: int
    overrun_nano: int
    earmarked_nano: int
    funding: Literal["prepaid", "limit"]
    promotional_nano: int
    promotions: list[PromotionLeft]


class Balances(BaseModel):
    """Every bucket of an account."""

    data: list[BalanceRow]


class PostingLine(BaseModel):
    """One side of a transaction."""

    line: int
    account: str
    currency: str
    side: Literal["debit", "credit"]
    amount_nano: int


class Move(BaseModel):
    """One transaction that touched the bucket, with its postings."""

    seq: int
    txn: UUID
    kind: str
    idem_key: str
    request_id: UUID | None
    committed_at: datetime
    before_nano: int
    after_nano: int
    held_after_nano: int
    lines: list[PostingLine]


class PostingsPage(Page[Move]):
    """Oldest first; `next` is `next_after` as a number."""

    next: int | None


class TopUpRow(BaseModel):
    """A payment, with what its provider took back and gave again."""

    txn_id: UUID
    at: datetime
    provider: str
    payment_id: str
    bucket: str
    currency: str
    amount: str
    amount_nano: int
    repaid_nano: int
    taken_back_nano: int
    reinstated_nano: int


class StatementLine(BaseModel):
    """One movement; charges are summed by day, project, key and model."""

    date: date_of
    kind: str
    amount_nano: int
    amount: str
    text: str
    reference: str
    project_id: str
    key_id: str
    key_name: str
    model: str
    route_type: str
    run_id: str
    requests: int
    owed_nano: int


class StatementTotal(BaseModel):
    """What moved by one kind."""

    kind: str
    amount_nano: int
    amount: str


class StatementBucket(BaseModel):
    """One bucket's month: opening, every movement, closing. `in_runs` is no part of the sum."""

    bucket: str
    currency: str
    opening_nano: int
    opening: str
    totals: list[StatementTotal]
    lines: list[StatementLine]
    in_runs: list[StatementLine]
    closing_nano: int
    closing: str


class StatementReply(BaseModel):
    """An account's month."""

    model_config = ConfigDict(populate_by_name=True)

    object: Literal["statement"]
    account_id: str
    month: str
    since: Annotated[datetime, Field(alias="from")]
    until: datetime
    complete: bool
    generated_at: datetime
    buckets: list[StatementBucket]


class PartitionLag(BaseModel):
    """How far a partition is settled; `end` and `lag` are null while Kafka does not answer."""

    topic: str
    partition: int
    next: int
    end: int | None
    lag: int | None


class Lag(BaseModel):
    """How far the ledger is."""

    partitions: list[PartitionLag]
    outbox_pending: int
    ingress_pending: int
    open_holds: int


class AuditEntry(BaseModel):
    """A change: who, what, before, after. `account_id` is null where it concerns the installation."""

    id: UUID
    at: datetime
    actor: str
    actor_name: str
    action: str
    entity_kind: str
    entity_id: str
    account_id: str | None
    before: Any
    after: Any
    reason: str | None
    request_id: str
    client_ip: str | None
