"""What a rule wants frozen when its alert fires, and how that is said. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from services.analytics.alerts.machine import Alert
from services.analytics.alerts.verdict import Verdict

Frozen = Literal["key", "project", "channel"]
State = Literal["asked", "waiting", "done", "failed", "declined", "withdrawn"]
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
GIVEN_UP_AFTER = timedelta(hours=1)
REASON_LENGTH = 500
"""What edge and router take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Freeze:
    """One freeze that an alert asks for. `asked` waits for a person, `waiting` for the service that owns the entity."""

    freeze_id: str
    alert_id: str
    kind: Frozen
    target_id: str
    state: State
    locked: bool
    author: str
    reason: str
    asked_at: datetime
    decided_by: str | None = None
    decided_at: datetime | None = None
    attempts: int = 0
    last_error: str | None = None
    done_at: datetime | None = None


def target_of(verdict: Verdict) -> tuple[Frozen, str] | None:
    """What its action would freeze, None where the action freezes nothing or the subject has no such thing."""
    if verdict.action == "none":
        return None
    if verdict.action == "freeze_project":
        found: tuple[Frozen, str] = ("project", verdict.project_id)
    elif verdict.subject_kind == "key" and verdict.action in {"ask", "freeze_key"}:
        found = ("key", verdict.subject_id)
    elif verdict.subject_kind == "project" and verdict.action == "ask":
        found = ("project", verdict.subject_id)
    elif verdict.subject_kind == "channel" and verdict.action in {"ask", "freeze_channel"}:
        found = ("channel", verdict.subject_id)
    else:
        return None
    return found if found[1] else None


def wanted(alert: Alert, freeze_id: str, now: datetime) -> Freeze | None:
    """The freeze that an alert which begins to fire asks for."""
    verdict = alert.last
    if (target := target_of(verdict)) is None:
        return None
    kind, target_id = target
    return Freeze(
        freeze_id=freeze_id,
        alert_id=alert.alert_id,
        kind=kind,
        target_id=target_id,
        state="asked" if verdict.action == "ask" else "waiting",
        locked=verdict.locked,
        author=f"alert:{verdict.rule}"[:128],
        reason=reason_of(alert),
        asked_at=now,
    )


def reason_of(alert: Alert) -> str:
    """Why it is frozen, for whoever is refused: the rule, the alert and the numbers."""
    verdict = alert.last
    numbers = f"{verdict.observed:,.6g} {verdict.unit} exceeded {verdict.threshold:,.6g}"
    return f"rule {verdict.rule}, alert {alert.alert_id}: {numbers}"[:REASON_LENGTH]


def pause_s(attempts: int) -> float:
    """How long to wait after so many attempts that failed."""
    return float(min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(attempts, 10)))
