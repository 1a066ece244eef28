"""What the settlement loop waits out, and what ends the process."""

import asyncio
from typing import Any

import psycopg
import pytest

from services.settlement.consumer import SettlementLoop


def loop_that_meets(error: Exception) -> tuple[SettlementLoop, asyncio.Event]:
    """A loop whose first session fails and whose second one is stopped."""
    stop = asyncio.Event()
    failures = [error]

    class Failing(SettlementLoop):
        async def _session(self, stop: asyncio.Event) -> bool:
            if failures:
                raise failures.pop()
            stop.set()
            return True

    names = ("bootstrap_servers", "group", "leases", "connect", "store")
    nothing: dict[str, Any] = dict.fromkeys(names) | {"batch": 1, "linger_ms": 0, "lease_s": 1}
    return Failing(**nothing), stop


@pytest.mark.parametrize(
    "error", [psycopg.OperationalError("away"), psycopg.errors.TransactionTimeout("frozen for too long"), OSError("refused")]
)
async def test_what_passes_by_itself_is_waited_out(error: Exception) -> None:
    loop, stop = loop_that_meets(error)
    async with asyncio.timeout(10):
        await loop.run(stop)
    assert loop.halted is None


async def test_a_defect_ends_the_process() -> None:
    loop, stop = loop_that_meets(psycopg.errors.SyntaxError("a defect"))
    with pytest.raises(psycopg.errors.SyntaxError):
        await loop.run(stop)
