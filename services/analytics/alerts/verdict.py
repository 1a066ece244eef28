"""What a detector says: one judgement of one signal of one subject over one window. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

Severity = Literal["page", "ticket", "info"]
Action = Literal["none", "ask", "freeze_key", "freeze_project", "freeze_channel"]
SubjectKind = Literal["key", "project", "account", "channel", "model", "route", "tag", "system"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A judgement. `exceeded` and `calm` are never both true; neither means "no change", which is what hysteresis is.

    `account_id` is empty for what belongs to the installation. `for_s` is how long a signal must exceed before its alert
    fires, `keep_s` how long it must be calm before the alert is resolved. `detail` says what made the observation up.
    """

    rule: str
    signal: str
    subject_kind: SubjectKind
    subject_id: str
    account_id: str = ""
    project_id: str = ""
    environment: str = "default"
    exceeded: bool
    calm: bool
    observed: float
    baseline: float | None = None
    threshold: float
    unit: str
    window_start: datetime
    window_end: datetime
    severity: Severity = "ticket"
    for_s: int = 0
    keep_s: int = 60
    action: Action = "none"
    locked: bool = False
    """An owner does not undo what the rule froze."""
    receivers: tuple[str, ...] = ()
    runbook: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.exceeded and self.calm:
            raise ValueError("a verdict is either exceeded or calm")

    @property
    def about(self) -> "About":
        """What alerts are deduplicated by."""
        return About(self.rule, self.subject_kind, self.subject_id)


@dataclass(frozen=True, slots=True, order=True)
class About:
    """A rule and the subject that it judges: there is at most one open alert about both."""

    rule: str
    subject_kind: str
    subject_id: str
