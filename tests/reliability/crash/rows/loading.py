"""The row of the loader: ClickHouse has acknowledged the insert, the offset is not recorded."""

from __future__ import annotations

from tests.e2e.books import LOADED
from tests.reliability.crash.gates import Message
from tests.reliability.crash.round import Round, Row

LOADER = "tollbook-analytics-loader"
TRIES = 5


def finishes_batch(message: Message) -> bool:
    """The first statement after the inserts."""
    return message.who == LOADER and message.what.startswith("UPDATE analytics.loader\nSET pending = NULL")


def finished(message: Message) -> bool:
    """The answer to the commit of the positions."""
    return message.who == LOADER and message.what == "COMMIT"


async def not_recorded(round_: Round) -> None:
    """Variants: the loader dies with the rows inserted and the batch pending; or before it hears that it is recorded."""
    rig = round_.rig
    recorded = round_.turn % 2 == 1
    for _ in range(TRIES):
        rows_before = await _rows(round_)
        gate = rig.analytics_to_postgres.gate("down" if recorded else "up", finished if recorded else finishes_batch)
        asked = round_.ask()
        round_.audit.expect(asked, "settled")
        await round_.answered(asked)
        await gate.reached()
        pending = await rig.ledger.rows("select count(pending) as batches from analytics.loader")
        assert pending == [{"batches": 0 if recorded else 1}]
        if await _rows(round_) > rows_before:
            break
        gate.open()  # what it caught is an earlier batch, whose rows had been counted already
    else:
        raise AssertionError("no batch was caught whose rows were inserted after they had been counted")
    await rig.analytics.kill9()
    gate.sever()
    await round_.replace(rig.analytics)


async def _rows(round_: Round) -> int:
    """Rows in ClickHouse, as analytics sees them."""
    counts = await round_.rig.driver.admin("analytics", "/admin/counts")
    return sum(counts[name]["rows"] for name in LOADED)


ROWS = (
    Row(
        name="ClickHouse insert acknowledged, offset not recorded",
        kills="analytics",
        rule="I12: as many rows as distinct events in every topic",
        play=not_recorded,
        variants=2,
    ),
)
