"""Alerts as Prometheus' Alertmanager takes them, API v2. Pure.

Labels name the alert and stay the same for its whole life; annotations tell of it. An alert without an end would be over
for Alertmanager a few minutes after it was last told, so one that fires says until when it counts, and is told again.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from services.analytics.delivery.outgoing import Item

COUNTS_FOR = timedelta(hours=1)
"""How long an alert counts after it was last told: longer than Tollbook is away for an upgrade."""
PATH = "/api/v2/alerts"


def alerts(items: Sequence[Item], extra: Mapping[str, str], now: datetime) -> list[dict[str, Any]]:
    """The body of one call."""
    return [_alert(item, extra, now) for item in items]


def address(url: str) -> str:
    """Where alerts are posted to, given where Alertmanager lives."""
    return url.rstrip("/") + PATH


def _alert(item: Item, extra: Mapping[str, str], now: datetime) -> dict[str, Any]:
    notice = item.notice
    ends = notice.resolved_at or notice.at if notice.event == "resolved" else now + COUNTS_FOR
    if notice.event == "test":
        ends = now + timedelta(minutes=1)
    told: dict[str, Any] = {
        "labels": {name: value for name, value in {**extra, **_labels(item)}.items() if value},
        "annotations": {name: value for name, value in _annotations(item).items() if value},
        "startsAt": notice.fired_at.isoformat(),
        "endsAt": max(ends, notice.fired_at).isoformat(),
    }
    return told | ({"generatorURL": item.told.dashboard} if item.told.dashboard else {})


def _labels(item: Item) -> dict[str, str]:
    notice = item.notice
    return {
        "alertname": notice.rule,
        "alert_id": notice.alert_id,
        "signal": notice.signal,
        "severity": notice.severity,
        "subject_kind": notice.subject_kind,
        "subject_id": notice.subject_id,
        "account_id": notice.account_id,
        "project_id": notice.project_id,
        "environment": notice.environment,
    }


def _annotations(item: Item) -> dict[str, str]:
    lines = {label.lower().replace(" ", "_"): text for label, text in item.told.lines}
    steps = {step.label.lower().replace(" ", "_"): step.text for step in item.told.steps}
    named = {"runbook_url": steps.pop("runbook", "")}
    acknowledged = "yes" if item.notice.event == "acknowledged" else ""
    return {"summary": item.told.headline, **lines, **steps, **named, "acknowledged": acknowledged}
