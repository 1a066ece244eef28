"""Alerts as events of PagerDuty's Events API v2. Pure.

The dedup key is the alert's: whatever is sent twice is one incident, an acknowledgement and an end find theirs.
"""

from typing import Any

from services.analytics.delivery.outgoing import Item

SUMMARY_MAX = 1_024
KEY_MAX = 255
ACTIONS = {"firing": "trigger", "acknowledged": "acknowledge", "resolved": "resolve", "test": "trigger"}
SEVERITIES = {"page": "critical", "ticket": "warning", "info": "info"}


def event(item: Item, routing_key: str) -> dict[str, Any]:
    """One change of an alert. Only a trigger carries a payload."""
    action = ACTIONS[item.notice.event]
    body: dict[str, Any] = {"routing_key": routing_key, "event_action": action, "dedup_key": dedup_key(item.notice.alert_id)}
    if action != "trigger":
        return body
    body |= {"client": "Tollbook", "payload": _payload(item)}
    body |= {"client_url": item.told.dashboard} if item.told.dashboard else {}
    links = [{"href": step.text, "text": step.label} for step in item.told.steps if step.is_link]
    return body | ({"links": links} if links else {})


def end_of_test(item: Item, routing_key: str) -> dict[str, Any]:
    """The event that closes what a test opened."""
    return {"routing_key": routing_key, "event_action": "resolve", "dedup_key": dedup_key(item.notice.alert_id)}


def dedup_key(alert_id: str) -> str:
    """What names the incident of an alert."""
    return f"tollbook/{alert_id}"[:KEY_MAX]


def _payload(item: Item) -> dict[str, Any]:
    notice = item.notice
    details: dict[str, Any] = {**dict(item.told.lines), **{step.label: step.text for step in item.told.steps}}
    details |= {"alert_id": notice.alert_id, "observed": notice.observed, "threshold": notice.threshold, "unit": notice.unit}
    return {
        "summary": item.told.headline[:SUMMARY_MAX],
        "source": f"{notice.subject_kind} {notice.subject_id}",
        "severity": "info" if notice.event == "test" else SEVERITIES[notice.severity],
        "timestamp": notice.fired_at.isoformat(),
        "component": notice.subject_id,
        "group": notice.account_id or "tollbook",
        "class": notice.signal,
        "custom_details": details,
    }
