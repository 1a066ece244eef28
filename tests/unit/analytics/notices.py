"""Changes of alerts to tell of."""

from datetime import UTC, datetime, timedelta
from typing import Any

from services.analytics.delivery.notice import NOBODY, Notice, Owner
from services.analytics.delivery.outgoing import Item

AT = datetime(2026, 3, 4, 12, 0, 30, tzinfo=UTC)
DASHBOARD = "https://tollbook.example.com/dashboard"
OWNER = Owner(account_name="Acme", project_name="Search", key_name="nightly", people=("Ada", "Grace"))


def notice(alert_id: str = "alr_1", event: str = "firing", **changed: Any) -> Notice:
    """A runaway key."""
    fields: dict[str, Any] = {
        "alert_id": alert_id,
        "transition_id": f"{alert_id}/{event}",
        "event": event,
        "at": AT,
        "rule": "runaway-key",
        "signal": "tokens_per_minute_by_key",
        "severity": "page",
        "subject_kind": "key",
        "subject_id": "key_nightly",
        "account_id": "acc_acme",
        "project_id": "prj_search",
        "environment": "production",
        "observed": 200_000.0,
        "baseline": 333.0,
        "threshold": 60_000.0,
        "unit": "tokens/min",
        "window_start": AT - timedelta(minutes=1),
        "window_end": AT,
        "fired_at": AT,
        "resolved_at": AT + timedelta(minutes=5) if event == "resolved" else None,
        "action": "none",
        "cost_nano": {"USD": 12_500_000_000, "CNY": 3_000_000_000},
        "runbook": "https://runbooks.example.com/runaway-key",
        "detail": {"models": ["gpt-4o"]},
    }
    return Notice.model_validate(fields | changed)


def item(told_of: Notice | None = None, owner: Owner = OWNER, dashboard: str = DASHBOARD) -> Item:
    """The notice with its words."""
    told_of = told_of or notice()
    return Item.of(f"00000000-0000-7000-8000-{abs(hash(told_of.transition_id)) % 10**12:012d}", told_of, owner, dashboard)


def storm(count: int) -> list[Item]:
    """So many alerts that fire at once."""
    return [item(notice(f"alr_{number}", subject_id=f"key_{number}"), NOBODY) for number in range(count)]
