"""Events of `tollbook.alerts.v1`, written by analytics."""

from typing import Literal

from schemas.envelope import Contract, Event, Identifier, UtcDatetime

AlertState = Literal["firing", "resolved"]


class VelocityAlertData(Contract):
    """A signal left its bounds. `observed` and `threshold` are in `unit` over the window."""

    alert_id: Identifier
    signal: Identifier
    state: AlertState
    subject_kind: Identifier
    subject_id: Identifier
    observed: float
    threshold: float
    unit: Identifier
    window_start: UtcDatetime
    window_end: UtcDatetime
    message: str


class VelocityAlert(Event):
    """An alert began to fire or was resolved."""

    type: Literal["VelocityAlert"] = "VelocityAlert"
    data: VelocityAlertData
