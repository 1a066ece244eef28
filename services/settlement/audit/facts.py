"""Which row of the ledger an event of its topic speaks of: each must be there for the other. Pure."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from schemas.envelope import Event

HOLD, RELEASED, TXN, CASE, CASE_CLOSED, NONE = "hold", "released", "txn", "case", "case_closed", "none"
_BY_FIELD: Mapping[str, tuple[str, str]] = {
    "HoldPlaced": (HOLD, "hold_id"),
    "HoldRefused": (HOLD, "hold_id"),
    "Released": (RELEASED, "hold_id"),
    "CaseOpened": (CASE, "case_id"),
    "CaseClosed": (CASE_CLOSED, "case_id"),
}
_CHARGING = frozenset({"Captured", "Expired"})
_UNDER_THE_TXNS_ID = frozenset({"Expired", "LateUsage"})


def hold_ended_by(event: Event) -> UUID | None:
    """The hold that the event tells to have been charged at its end, if it does."""
    data: Any = getattr(event, "data", None)
    return data.hold_id if event.type in _CHARGING else None


def fact_of(event: Event) -> tuple[str, UUID | None]:
    """The kind of row and its id. Every event that moves money is published under its transaction's own id."""
    data: Any = getattr(event, "data", None)
    if event.type in _BY_FIELD:
        fact, field = _BY_FIELD[event.type]
        return fact, getattr(data, field)
    if event.type in _UNDER_THE_TXNS_ID or hasattr(data, "txn_id"):
        return TXN, event.event_id
    return NONE, None
