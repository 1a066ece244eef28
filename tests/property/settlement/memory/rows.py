"""Rows of settlement's tables, as far as the ledger in memory needs them."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from services.settlement.accounts import Side
from services.settlement.records import Record
from services.settlement.settling import HoldRow


class TxnRow(NamedTuple):
    """A transaction."""

    id: UUID
    kind: str
    idem_key: str
    request_hash: str | None
    holder: str
    request_id: UUID | None
    hold_id: UUID | None
    detail: dict[str, Any]
    committed_at: datetime


class PostingRow(NamedTuple):
    """One line of a transaction."""

    txn: UUID
    line: int
    account: int
    currency: str
    side: Side
    amount: int


class MoveRow(NamedTuple):
    """What a transaction did to a bucket; its place in the list is its number."""

    txn: UUID
    account: int
    before: int
    after: int
    held_after: int


@dataclass
class BucketRow:
    """A customer's bucket, or a run's reserve of it."""

    account: int
    holder: str
    bucket: str
    currency: str
    run: str = ""
    funding: str = "prepaid"
    posted: int = 0
    held: int = 0
    overrun: int = 0


@dataclass
class EnvelopeRow:
    """A limit."""

    id: int
    limit_nano: int | None
    version: int = 1


@dataclass
class WindowRow:
    """One period of a limit."""

    id: int
    envelope: int
    start: datetime
    held: int = 0
    spent: int = 0
    overrun: int = 0
    limit_at_last_hold: int | None = None


@dataclass(slots=True, kw_only=True)
class StoredHold(HoldRow):
    """A hold as its row keeps it, refused or granted."""

    output_cap: int
    released_nano: int = 0
    progress_input: int = 0
    progress_output: int = 0
    placed_at: datetime
    expires_at: datetime
    ended_at: datetime | None = None
    detail: dict[str, Any]
    refusal: dict[str, Any] | None


@dataclass
class RunRow:
    """A run; `budget` and `returned` by bucket."""

    id: str
    holder: str
    project_id: str
    key_id: str
    reserve: bool
    deadline_at: datetime
    state: str = "OPEN"
    budget: dict[str, int] = field(default_factory=dict)
    returned: dict[str, int] = field(default_factory=dict)


@dataclass
class OffsetRow:
    """How far the ledger has read the topic, and who may read on."""

    first: int = 0
    consumed: int = 0
    next: int = 0
    settled: int = 0
    lease: str | None = None


@dataclass
class DeadLetterRow:
    """A record that was set aside, until it can be read."""

    record: Record
    waits: bool = True


@dataclass
class DisputeRow:
    """What one dispute took of a payment, and what of that was given again."""

    payment: UUID
    amount_nano: int
    reinstated_nano: int = 0


EnvelopeKey = tuple[str, str, str, str, str]
"""holder, kind, entity, currency, window"""
