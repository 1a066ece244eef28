"""From a step of an alert to what its receivers are told: which steps are told at all, and what of the alert. Pure."""

from collections.abc import Mapping
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import orjson

from schemas.alert_receivers import EVENTS, AlertEvent
from services.analytics.alerts.machine import Alert, Transition
from services.analytics.delivery.notice import Notice

DETAIL_BYTES = 16_384
COST = "cost_nano"
"""Member of a verdict's detail: what it has cost so far, nano by currency."""


def notice_of(alert: Alert, transition: Transition, action_state: str = "") -> Notice | None:
    """What a step says to receivers; None for one that nobody is told of."""
    event = next((each for each in EVENTS if each == transition.kind), None)
    if event is None or not transition.told:
        return None
    return _notice(alert, transition, event, action_state)


def _notice(alert: Alert, transition: Transition, event: AlertEvent, action_state: str) -> Notice:
    seen = alert.last
    return Notice(
        alert_id=alert.alert_id,
        transition_id=str(uuid5(NAMESPACE_URL, f"{alert.alert_id}/{transition.kind}/{transition.at.isoformat()}")),
        event=event,
        at=transition.at,
        rule=seen.rule,
        signal=seen.signal,
        severity=seen.severity,
        subject_kind=seen.subject_kind,
        subject_id=seen.subject_id,
        account_id=seen.account_id,
        project_id=seen.project_id,
        environment=seen.environment,
        observed=seen.observed,
        baseline=seen.baseline,
        threshold=seen.threshold,
        unit=seen.unit,
        window_start=seen.window_start,
        window_end=seen.window_end,
        fired_at=alert.fired_at or transition.at,
        resolved_at=alert.resolved_at if event == "resolved" else None,
        actor=transition.by or "",
        reason=transition.reason or "",
        action=seen.action,
        action_state=action_state,
        cost_nano=_cost(seen.detail),
        runbook=seen.runbook,
        flaps=alert.flaps,
        detail=_bounded(seen.detail),
    )


def _cost(detail: Mapping[str, Any]) -> dict[str, int]:
    found = detail.get(COST)
    amounts = found.items() if isinstance(found, Mapping) else ()
    return {str(currency)[:16]: nano for currency, nano in amounts if type(nano) is int}


def _bounded(detail: Mapping[str, Any]) -> Mapping[str, Any]:
    """The detail, as far as it is data that fits into a message."""
    try:
        written = orjson.dumps(dict(detail))
    except orjson.JSONEncodeError:
        return {}
    return dict(detail) if len(written) <= DETAIL_BYTES else {}
