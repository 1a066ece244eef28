"""Alerts and verdicts as JSON, and back: what is stored is read as it was written. Pure."""

from typing import Any

from pydantic import TypeAdapter

from services.analytics.alerts.machine import Alert
from services.analytics.alerts.verdict import Verdict

ALERT: TypeAdapter[Alert] = TypeAdapter(Alert)
VERDICTS: TypeAdapter[list[Verdict]] = TypeAdapter(list[Verdict])


def document_of(alert: Alert) -> str:
    """The whole alert."""
    return ALERT.dump_json(alert).decode()


def alert_from(document: Any) -> Alert:
    """The alert that a document is of."""
    return ALERT.validate_python(document)
