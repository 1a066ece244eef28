"""What admin calls answer about cases, dead letters, checks and attempts, as OpenAPI shows it."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from services.settlement.admin_models import Page


class CaseRow(BaseModel):
    """Something that a person has to look at."""

    id: UUID
    kind: str
    holder: str
    request_id: UUID | None
    hold_id: UUID | None
    currency: str | None
    exposure_nano: int | None
    detail: str
    owner: str
    opened_at: datetime
    due_at: datetime
    closed_at: datetime | None
    resolution: str | None
    closed_by: str | None
    decision: Literal["charge_nothing", "write_off"] | None
    overdue: bool
    age_s: int


class CaseChange(BaseModel):
    """What was done about a case."""

    kind: Literal["assigned", "closed"]
    author: str
    detail: str
    at: datetime


class Case(CaseRow):
    """A case with everything that was done about it."""

    changes: list[CaseChange]


class LetterRow(BaseModel):
    """A record that could not be used."""

    topic: str
    partition: int
    offset: int
    reason: str
    detail: str
    key: str | None
    type: str
    bytes: int | None
    found_at: datetime
    tries: int
    tried_at: datetime | None
    redriven_at: datetime | None
    redriven_by: str | None
    outcome: str | None


class Letter(LetterRow):
    """A dead letter with the beginning of its payload."""

    payload: str | None


class LetterReason(BaseModel):
    """How many letters there are of a reason."""

    reason: str
    waiting: int
    redriven: int


class LettersPage(Page[LetterRow]):
    """Dead letters in the order of their places; `next` is the last place, in parts."""

    reasons: list[LetterReason]
    next: Annotated[list[str | int], Field(min_length=3, max_length=3)] | None


class Redriven(BaseModel):
    """What the letters came to; `next` is the place to go on from."""

    outcomes: dict[str, int]
    next: Annotated[list[int], Field(min_length=2, max_length=2)] | None


class AuditRow(BaseModel):
    """A check or a rebuilding of the ledger."""

    id: UUID
    kind: Literal["check", "rebuild"]
    state: Literal["running", "done", "failed"]
    author: str
    asked: dict[str, Any]
    progress: str
    error: str | None
    started_at: datetime
    ended_at: datetime | None


class Audit(AuditRow):
    """With its result, once it is done."""

    result: dict[str, Any] | None


class AttemptRow(BaseModel):
    """One upstream call of a settled request, as events say it."""

    request_id: UUID
    account_id: str
    attempt: int
    channel: str
    brand: str
    route_type: str
    upstream_model: str
    started_at: datetime
    latency_ms: float
    outcome: str
    error_class: str | None
    http_status: int | None
    usage: dict[str, int]
    usage_source: str
    operator_cost_nano: int | None
    operator_cost_currency: str | None
    upstream_id: str | None
    hold_id: UUID
    exposure: dict[str, int] | None
    operator_exposure_nano: int | None
    after_disconnect: str | None
    charged: bool


class AttemptsPage(Page[AttemptRow]):
    """In the order of their requests; `next` is the same as `next_after`."""

    next: UUID | None


class UnknownEnd(BaseModel):
    """A hold whose request never completed, with the candidates that may have been asked."""

    id: UUID
    request_id: UUID
    holder: str
    currency: str
    state: str
    amount_nano: int
    captured_nano: int
    placed_at: datetime
    expires_at: datetime
    candidates: list[dict[str, Any]]


class UnknownEndsPage(Page[UnknownEnd]):
    """Holds by the end of their time; `exposures` are attempts whose provider never said what it counted, paged apart."""

    exposures: list[AttemptRow]
    next_exposures_after: UUID | None
