"""Every scripted fault by streaming or not by one or three candidates by crossing buckets allowed or not by each dialect.

All cells run at once over one neighbourhood of real engines; then each is judged by the table of faults and the oracle.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from services.settlement.database import connect
from services.settlement.ledger_check import check
from tests.integration.router.matrix.cells import Cell, cells
from tests.integration.router.matrix.run import Outcome, Run
from tests.integration.router.matrix.verdict import judge
from tests.integration.router.rig import PRICE_BOOK, Rig
from tests.oracle import Oracle

CELLS = cells()


@pytest.fixture(scope="module")
def outcomes(rig: Rig) -> dict[int, Outcome]:
    """What became of every cell."""

    async def run() -> dict[int, Outcome]:
        return await Run(rig, CELLS).outcomes()

    return asyncio.run(run())


@pytest.fixture(scope="module")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Oracle:
    """What every charge must come to, by another arithmetic."""
    prices: Path = tmp_path_factory.mktemp("prices") / "prices.yaml"
    prices.write_text(PRICE_BOOK)
    return Oracle(prices)


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_each_cell_ends_as_its_fault_says(outcomes: dict[int, Outcome], oracle: Oracle, cell: Cell) -> None:
    judge(cell, outcomes[cell.number], oracle)


@pytest.mark.usefixtures("outcomes")
def test_the_ledger_is_clean_after_all_of_them(module_database_url: str) -> None:
    with connect(module_database_url, statement_timeout_ms=60_000, name="matrix", analytic=True) as connection:
        assert [finding for finding in check(connection, patience_s=60.0) if not finding.ok] == []
