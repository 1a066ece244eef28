"""What a rebuilding counts in the windows of limits."""

from datetime import UTC, datetime
from typing import Any

import pytest

from schemas.envelope import new_id
from services.settlement.audit.spending import Envelope, Placed, Spending
from services.settlement.money_in import EPOCH
from services.settlement.settling import HELD, HoldRow

NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)
LIMIT = Envelope("run", "r/credit", "USD", "run")


def placed(position: int, **fields: Any) -> Placed:
    """A hold of ten in the run, at a place of the account's story."""
    made: dict[str, Any] = {"id": new_id(), "request_id": new_id(), "holder": "a", "project_id": "p", "key_id": "k"}
    made |= {"bucket": "credit", "currency": "USD", "account": 1, "state": HELD, "amount_nano": 10, "captured_nano": 0}
    made |= {"price_version": 1, "windows": [], "run": "r", "reserved": False}
    return Placed(HoldRow(**made | fields), NOON, position)


@pytest.mark.parametrize("opened_at", [0, 5])
def test_a_runs_limit_counts_from_the_runs_opening_whenever_it_is_set(opened_at: int) -> None:
    spending = Spending([LIMIT])
    early, late, elsewhere = placed(2), placed(7), placed(3, run="")
    for each in (early, late, elsewhere):
        spending.held(each)
    spending.opened(LIMIT, opened_at)
    spending.ended(early, 12)
    window = spending.windows[LIMIT, EPOCH]
    assert (window.held, window.spent, window.overrun) == (10, 12, 2)
    spending.refunded(early, 4, NOON, nano=3, beyond=2, run_open=True)
    restored = opened_at < 4
    assert (window.spent, window.overrun) == ((9, 0) if restored else (12, 2))
