"""`alerts`: signals that left their bounds, what became of the alerts about them, and when they were over."""

from typing import Any

from schemas import topics
from services.analytics.rows.columns import free_text, instant, number, text, uuid, version
from services.analytics.rows.fields import micros, optional_uuid, text_of
from services.analytics.rows.table import Event, Table, Values


def _values(data: Any, state: str) -> Values:
    return {
        "alert_id": data["alert_id"],
        "signal": data["signal"],
        "state": state,
        "subject_kind": data["subject_kind"],
        "subject_id": data["subject_id"],
        "observed": data["observed"],
        "threshold": data["threshold"],
        "unit": data["unit"],
        "window_start": micros(data["window_start"]),
        "window_end": micros(data["window_end"]),
        "message": data["message"],
        "transition_id": optional_uuid(data.get("transition_id")),
        "rule": text_of(data.get("rule")),
        "severity": text_of(data.get("severity")),
        "project_id": text_of(data.get("project_id")),
        "baseline": data.get("baseline"),
        "peak": data.get("peak"),
        "flaps": data.get("flaps", 0),
        "by": text_of(data.get("by")),
        "reason": text_of(data.get("reason")),
        "action": text_of(data.get("action")),
    }


def _velocity(_: Event, data: Any) -> Values:
    return _values(data, data["state"])


def _changed(_: Event, data: Any) -> Values:
    return _values(data, data["step"])


ALERTS = Table(
    name="alerts",
    topic=topics.ALERTS,
    own_columns=(
        free_text("alert_id"),
        text("signal"),
        text("state"),
        text("subject_kind"),
        text("subject_id"),
        number("observed"),
        number("threshold"),
        text("unit"),
        instant("window_start"),
        instant("window_end"),
        free_text("message"),
        uuid("transition_id"),
        text("rule"),
        text("severity"),
        text("project_id"),
        number("baseline", nullable=True),
        number("peak", nullable=True),
        version("flaps"),
        free_text("by"),
        free_text("reason"),
        text("action"),
    ),
    fillers={"VelocityAlert": _velocity, "AlertChanged": _changed},
)
