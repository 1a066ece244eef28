"""Baselines are worked out beside what analytics does meanwhile."""

import asyncio
import threading
from typing import Any

import pytest

from services.analytics.signals import history
from services.analytics.signals.history import usuals_at

PATIENCE_S = 60
ROW = {
    "subject": "k", "account_id": "a", "requested_model": "m", "route_type": "direct", "currency": "USD", "hours": [],
}  # fmt: skip


class OneOfEach:
    """A warehouse in which everything stands once."""

    async def rows(self, _sql: str, _parameters: Any) -> list[dict[str, Any]]:
        return [ROW]


async def test_verdicts_and_messages_go_on_while_baselines_are_worked_out(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, others_go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def working(_hours: Any, _hour: int) -> None:
        loop.call_soon_threadsafe(begun.set)
        assert others_go_on.wait(PATIENCE_S)

    async def others() -> None:
        await begun.wait()
        others_go_on.set()

    monkeypatch.setattr(history, "baseline_at", working)
    warehouse: Any = OneOfEach()
    found, _ = await asyncio.gather(usuals_at(warehouse, 500_000), others())
    assert (found.hour, found.keys) == (500_000, {})
