"""One turn of a row: a few requests, one kill at a point that is proven to have been reached, and what must follow."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal

from deploy.local.traffic import Size
from tests.e2e.driver import Customer
from tests.reliability.crash.audit import Audit
from tests.reliability.crash.clients import Asked
from tests.reliability.crash.processes import Process
from tests.reliability.crash.rig import Rig

CREDIT = Decimal(1000)
REQUESTS = 3
POLL_S = 0.01


class Round:
    """What a row's function works with. `turn` counts from 0: a row with variants takes them in turn."""

    def __init__(self, rig: Rig, audit: Audit, customers: list[Customer], turn: int) -> None:
        self.rig = rig
        self.audit = audit
        self.turn = turn
        self._customers = customers

    def ask(self, count: int = REQUESTS, *, output: int = 40, stream: bool | None = None, **pace_ms: int) -> list[Asked]:
        """Send so many requests at once, of the accounts in turn; plain and streamed ones mixed unless told otherwise."""
        return [
            self.rig.clients.ask(
                self._customers[number % len(self._customers)],
                Size(prompt=100 + 7 * self.turn + number, output=output + number),
                stream=number % 2 == 1 if stream is None else stream,
                pace_ms=pace_ms,
            )
            for number in range(count)
        ]

    async def held(self, asked: Iterable[Asked]) -> dict[str, str]:
        """Wait until each request has a committed hold. Returns the ids of the holds by probe."""
        probes = {each.probe for each in asked}
        async with asyncio.timeout(120):
            while True:
                holds = await self.rig.ledger.holds(probes)
                if all(holds.values()):
                    assert all(len(each) == 1 and each[0]["state"] == "HELD" for each in holds.values()), holds
                    return {probe: each[0]["id"] for probe, each in holds.items()}
                await asyncio.sleep(POLL_S)

    async def until(self, condition: Callable[[], Awaitable[bool] | bool], what: str) -> None:
        """Wait until the condition holds: the point is reached. Fails if it never is."""
        try:
            async with asyncio.timeout(120):
                while True:
                    answer = condition()
                    if answer if isinstance(answer, bool) else await answer:
                        return
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            raise AssertionError(f"the point was never reached: {what}") from None

    async def no_holds(self, asked: Iterable[Asked]) -> None:
        """Nothing of these requests is in the ledger, and the provider was not asked."""
        asked = list(asked)
        assert not any((await self.rig.ledger.holds(each.probe for each in asked)).values())
        assert not any(self.rig.tap.calls[each.probe] for each in asked)

    async def request_ids(self, asked: Iterable[Asked]) -> list[str]:
        """The requests' ids, from their holds."""
        holds = await self.rig.ledger.holds(each.probe for each in asked)
        return [each[0]["request_id"] for each in holds.values()]

    async def replace(self, process: Process) -> None:
        """What a supervisor does: start it again, and see that it gets ready."""
        await process.start()

    async def finish(self, asked: Iterable[Asked]) -> None:
        """Wait until no client waits any more."""
        for each in asked:
            await each.done()

    async def answered(self, asked: Iterable[Asked]) -> None:
        """Wait until every client has the whole of its reply."""
        for each in asked:
            await each.done()
            assert each.whole, each


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of the crash matrix. `kills` names the processes that die, each variant in turn."""

    name: str
    kills: str
    rule: str
    play: Callable[[Round], Awaitable[None]]
    variants: int = 1
