"""`alerts`: signals that left their bounds, and when they came back."""

from typing import Any

from schemas import topics
from services.analytics.rows.columns import free_text, instant, number, text
from services.analytics.rows.fields import micros
from services.analytics.rows.table import Event, Table, Values


def _velocity(_: Event, data: Any) -> Values:
    return {
        "alert_id": data["alert_id"],
        "signal": data["signal"],
        "state": data["state"],
        "subject_kind": data["subject_kind"],
        "subject_id": data["subject_id"],
        "observed": data["observed"],
        "threshold": data["threshold"],
        "unit": data["unit"],
        "window_start": micros(data["window_start"]),
        "window_end": micros(data["window_end"]),
        "message": data["message"],
    }


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
    ),
    fillers={"VelocityAlert": _velocity},
)
