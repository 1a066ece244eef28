"""Events of `tollbook.alerts.v1`, from an alert and the step that it took. Pure."""

from typing import get_args
from uuid import NAMESPACE_URL, UUID, uuid5

from schemas.alerts import AlertChanged, AlertChangedData, AlertState, AlertStep, VelocityAlert, VelocityAlertData
from schemas.envelope import Event
from services.analytics.alerts.machine import Alert, Transition
from services.analytics.alerts.wording import message

INSTALLATION = "installation"
"""In place of an account, for what belongs to none."""
STATES = frozenset(get_args(AlertState))
STEPS = frozenset(get_args(AlertStep))
LONGEST = 128


def event_of(alert: Alert, transition: Transition, transition_id: UUID) -> Event | None:
    """The event that tells of a step; None for those that are of no interest to anybody (pending, and back)."""
    verdict = alert.last
    envelope = {
        "event_id": uuid5(NAMESPACE_URL, f"alert-transition/{transition_id}"),
        "occurred_at": transition.at,
        "account_id": verdict.account_id or INSTALLATION,
        "environment": verdict.environment or "default",
    }
    data = {
        "alert_id": alert.alert_id,
        "signal": verdict.signal,
        "subject_kind": verdict.subject_kind,
        "subject_id": verdict.subject_id[:LONGEST],
        "observed": verdict.observed,
        "threshold": verdict.threshold,
        "unit": verdict.unit,
        "window_start": verdict.window_start,
        "window_end": verdict.window_end,
        "message": message(alert, transition.kind),
        "transition_id": transition_id,
        "rule": verdict.rule,
        "severity": verdict.severity,
        "project_id": verdict.project_id or None,
        "baseline": verdict.baseline,
        "peak": alert.peak,
        "flaps": alert.flaps,
        "by": transition.by,
        "reason": transition.reason,
        "action": verdict.action,
    }
    if transition.kind in STATES:
        return VelocityAlert.model_validate(
            {**envelope, "data": VelocityAlertData.model_validate(data | {"state": transition.kind})}
        )
    if transition.kind in STEPS:
        return AlertChanged.model_validate(
            {**envelope, "data": AlertChangedData.model_validate(data | {"step": transition.kind})}
        )
    return None
