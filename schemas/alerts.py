"""Events of `tollbook.alerts.v1`, written by analytics."""

from typing import Literal
from uuid import UUID

from pydantic import Field

from schemas.envelope import Contract, Event, Identifier, UtcDatetime

AlertState = Literal["firing", "resolved"]
AlertStep = Literal[
    "acknowledged", "silenced", "unsilenced", "asked", "approved", "declined", "withdrawn", "acted", "failed"
]  # fmt: skip
"""What else happens to an alert; from `asked` on it is about the freeze that its rule wants."""


class _AlertData(Contract):
    """What an alert is about, as it stood when it changed. `observed` and `threshold` are in `unit` over the window.

    `transition_id` names the change, `peak` is the most that was observed, `flaps` how often the alert came back soon after it
    was over. `by` is who did it (None: it happened by itself), `reason` what they said, `action` what the rule asks for.
    """

    alert_id: Identifier
    signal: Identifier
    subject_kind: Identifier
    subject_id: Identifier
    observed: float
    threshold: float
    unit: Identifier
    window_start: UtcDatetime
    window_end: UtcDatetime
    message: str
    transition_id: UUID | None = None
    rule: Identifier | None = None
    severity: Identifier | None = None
    project_id: Identifier | None = None
    baseline: float | None = None
    peak: float | None = None
    flaps: int = Field(default=0, ge=0)
    by: str | None = None
    reason: str | None = None
    action: Identifier | None = None


class VelocityAlertData(_AlertData):
    """A signal left its bounds, or is back within them."""

    state: AlertState


class VelocityAlert(Event):
    """An alert began to fire or was resolved. `account_id` is `installation` for what belongs to no account."""

    type: Literal["VelocityAlert"] = "VelocityAlert"
    data: VelocityAlertData


class AlertChangedData(_AlertData):
    """An alert took another step."""

    step: AlertStep


class AlertChanged(Event):
    """Somebody acknowledged or silenced an alert, or what its rule wants frozen went on."""

    type: Literal["AlertChanged"] = "AlertChanged"
    data: AlertChangedData
