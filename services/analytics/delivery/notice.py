"""What a message tells: an alert as it was when it changed, and who owns what it is about. Pure."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from schemas.alert_receivers import AlertEvent
from schemas.envelope import Contract, Identifier, UtcDatetime
from schemas.money import SignedAmountNano

Severity = Literal["page", "ticket", "info"]
NoticeEvent = AlertEvent | Literal["test"]
SubjectId = Annotated[str, Field(min_length=1, max_length=256)]
"""Longer than an identifier: the name of a route is made of several."""


class Notice(Contract):
    """One change of an alert, whole: what is sent later needs nothing else of the alert, which may have moved on by then."""

    alert_id: Identifier
    transition_id: Identifier
    event: NoticeEvent
    at: UtcDatetime
    rule: Identifier
    signal: Identifier
    severity: Severity
    subject_kind: Identifier
    subject_id: SubjectId
    account_id: str = ""
    project_id: str = ""
    environment: str = ""
    observed: float
    baseline: float | None = None
    threshold: float
    unit: str
    window_start: UtcDatetime
    window_end: UtcDatetime
    fired_at: UtcDatetime
    resolved_at: UtcDatetime | None = None
    actor: str = ""
    """Who acknowledged or ended it; empty where it ended by itself."""
    reason: str = ""
    action: str = "none"
    """What the rule asks for: none, ask, freeze_key, freeze_project, freeze_channel."""
    action_state: str = ""
    """How far that is: empty, asked, done, failed, declined."""
    cost_nano: dict[Annotated[str, Field(max_length=16)], SignedAmountNano] = Field(default_factory=dict)
    """What it has cost so far, by currency."""
    runbook: str = ""
    flaps: int = 0
    detail: Mapping[str, Any] = Field(default_factory=dict)


class Owner(Contract):
    """Names of whom it concerns; empty where edge did not say in time: the ids are in the notice."""

    account_name: str = ""
    project_name: str = ""
    key_name: str = ""
    people: tuple[str, ...] = ()


NOBODY = Owner()
