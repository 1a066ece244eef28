"""What the admin calls about deliveries answer, as OpenAPI shows it. No address and no secret is in it."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel

from schemas.alert_receivers import AlertEvent

State = Literal["waiting", "sent", "failed", "skipped"]


class DeliveryRow(BaseModel):
    """One change of an alert and one receiver. Those that were told in one message have the same `message_id`.

    `reason` says why it was not taken: of one that waits, at the last attempt. `next_at` is when that one is tried again at the
    earliest.
    """

    delivery_id: UUID
    alert_id: str
    transition_id: str
    receiver: str
    event: AlertEvent
    account_id: str | None
    state: State
    attempts: int
    status: int | None
    reason: str | None
    message_id: UUID | None
    created_at: datetime
    ended_at: datetime | None
    next_at: datetime | None


class DeliveriesPage(BaseModel):
    """The newest first; `next_after` is what to give as `after` for the following page, null at the end."""

    object: Literal["list"] = "list"
    data: list[DeliveryRow]
    next_after: str | None


class Variable(BaseModel):
    """A variable that a receiver reads, and whether analytics has it."""

    name: str
    is_set: bool


class ReceiverRow(BaseModel):
    """A receiver of the rule file in force, and how it does. `paused_until`: it is left alone until then."""

    name: str
    kind: str
    events: list[AlertEvent]
    per_minute: int
    variables: list[Variable]
    waiting: int
    oldest_waiting_at: datetime | None
    failures: int
    paused_until: datetime | None
    reason: str | None
    sent_at: datetime | None


class ReceiversList(BaseModel):
    """Every receiver, by name."""

    object: Literal["list"] = "list"
    data: list[ReceiverRow]
    next_after: None = None


class TestedReceiver(BaseModel):
    """What became of a test message."""

    receiver: str
    kind: str
    sent: bool
    status: int | None
    reason: str | None
    took_ms: int
