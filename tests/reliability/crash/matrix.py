"""The crash matrix: every row, and the way to play it so many times."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.e2e.driver import Customer
from tests.reliability.crash.audit import Audit
from tests.reliability.crash.rig import Rig
from tests.reliability.crash.round import CREDIT, Round, Row
from tests.reliability.crash.rows import calling, holding, loading, publishing, settling

ROWS: tuple[Row, ...] = (*holding.ROWS, *calling.ROWS, *publishing.ROWS, *settling.ROWS, *loading.ROWS)
ACCOUNTS = 2


@asynccontextmanager
async def rounds(rig: Rig, first_turn: int = 0) -> AsyncIterator[Player]:
    """Accounts of their own for some turns; when the block ends, everything must be resolved and every balance right."""
    audit = Audit(rig)
    customers = [await rig.customer(str(CREDIT)) for _ in range(ACCOUNTS)]
    for customer in customers:
        audit.funded(customer.account_id, CREDIT)
    player = Player(rig, audit, customers, first_turn)
    yield player
    await audit.at_the_end()


class Player:
    """Plays turns of a row, one kill each."""

    def __init__(self, rig: Rig, audit: Audit, customers: list[Customer], first_turn: int) -> None:
        self._rig = rig
        self._audit = audit
        self._customers = customers
        self._turn = first_turn

    async def play(self, row: Row) -> None:
        """One kill at the row's point, and the audit after it."""
        try:
            await row.play(Round(self._rig, self._audit, self._customers, self._turn))
        finally:
            self._rig.free_the_way()
        self._turn += 1
        await self._audit.after_a_kill()
