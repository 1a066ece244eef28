"""What the calls about alerts take and answer, as OpenAPI shows it."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from schemas.envelope import UtcDatetime
from schemas.plain_text import plain_text

Word = Annotated[str, Field(max_length=256), AfterValidator(plain_text)]
Name = Annotated[str, Field(min_length=1, max_length=128), AfterValidator(plain_text)]
Reason = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(plain_text)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Because(_Body):
    """Who does it and why. `author` counts with the admin token alone: a user is recorded as who they are."""

    author: Name | None = None
    reason: Reason | None = None


class SilenceFor(_Body):
    """How long an alert is not told, and why."""

    until: UtcDatetime
    reason: Reason
    author: Name | None = None


class NewSilence(SilenceFor):
    """What is silenced. Whatever is named has to fit; at least one word has to be."""

    rule: Word = ""
    subject_kind: Word = ""
    subject_id: Word = ""
    tag: Annotated[str, Field(max_length=321, pattern=r"^$|^[^=\s]{1,64}=.{1,256}$"), AfterValidator(plain_text)] = ""
    account_id: Word = ""

    @model_validator(mode="after")
    def _of_something(self) -> Self:
        if not (self.rule or self.subject_id or self.tag or self.account_id):
            raise ValueError(
                "name a rule, a subject, a tag or an account: a silence of everything would hide that nothing works"
            )
        return self


class FreezeShown(BaseModel):
    """A freeze that the alert's rule wants. `asked` waits for approval, `waiting` for the service that owns the entity."""

    freeze_id: str
    kind: Literal["key", "project", "channel"]
    target_id: str
    state: Literal["asked", "waiting", "done", "failed", "declined", "withdrawn"]
    locked: bool
    author: str
    reason: str
    asked_at: datetime
    decided_by: str | None
    decided_at: datetime | None
    attempts: int
    last_error: str | None
    done_at: datetime | None


class AlertShown(BaseModel):
    """An alert as it stands. `observed` is the most that was observed, `latest` seen last. Pending: `fired_at` null."""

    alert_id: UUID
    rule: str
    account_id: str
    project_id: str
    environment: str
    signal: str
    severity: str
    state: Literal["pending", "firing", "acknowledged", "resolved", "dropped"]
    subject_kind: str
    subject_id: str
    observed: float
    latest: float
    baseline: float | None
    threshold: float
    unit: str
    window_start: datetime
    window_end: datetime
    opened_at: datetime
    fired_at: datetime | None
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    resolved_at: datetime | None
    resolved_by: str | None
    silenced_by: UUID | None
    flaps: int
    action: str
    freezes: list[FreezeShown]
    message: str


class AlertsPage(BaseModel):
    """The newest first; `next_after` is what to give as `after` for the following page, null at the end."""

    object: Literal["list"]
    data: list[AlertShown]
    next_after: str | None


class TransitionShown(BaseModel):
    """A step that an alert took. `told`: receivers hear of it. `by` null: it happened by itself."""

    transition_id: UUID
    kind: str
    at: datetime
    told: bool
    by: str | None
    reason: str | None
    observed: float
    threshold: float


class DeliveryShown(BaseModel):
    """What a receiver is told of a step, and what became of that."""

    receiver: str
    event: str
    state: str
    attempts: int
    reason: str | None
    created_at: datetime
    ended_at: datetime | None


class AlertDetail(AlertShown):
    """An alert with what happened to it, the newest first, and what made it up."""

    receivers: list[str]
    runbook: str
    detail: dict[str, Any]
    transitions: list[TransitionShown]
    deliveries: list[DeliveryShown]


class SilenceShown(BaseModel):
    """A silence. An empty word fits everything."""

    silence_id: UUID
    rule: str
    subject_kind: str
    subject_id: str
    tag: str
    account_id: str
    until: datetime
    by: str
    reason: str
    created_at: datetime
    ended_at: datetime | None
    ended_by: str | None


class SilencesPage(BaseModel):
    """The newest first."""

    object: Literal["list"]
    data: list[SilenceShown]
    next_after: str | None


class AuditEntry(BaseModel):
    """One change. `before` null: it was made; `after` null: it is gone."""

    id: UUID
    at: datetime
    actor: str
    actor_name: str
    action: str
    entity_kind: str
    entity_id: str
    account_id: str | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    reason: str | None
    request_id: UUID | None
    client_ip: str | None


class AuditPage(BaseModel):
    """The newest first."""

    object: Literal["list"]
    data: list[AuditEntry]
    next_after: str | None
