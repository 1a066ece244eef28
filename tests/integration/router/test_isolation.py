"""Requests that travel in one call do not share their fate."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from tests.integration.router.rig import Asker, Rig


async def test_a_hold_that_settlement_cannot_read_fails_alone(rig: Rig, asker: Asker) -> None:
    lane = rig.lane()
    # Postgres stores no NUL, so that settlement refuses the whole call that carries one.
    poisoned = replace(lane, tags={"feature": "\0"})
    asking = [asker.ask(poisoned if number % 10 == 5 else lane) for number in range(40)]
    replies = [reply for _, reply in await asyncio.gather(*asking)]
    assert [reply.status for reply in replies if reply.status != 200] == [503] * 4
    assert [number for number, reply in enumerate(replies) if reply.status != 200] == [5, 15, 25, 35]


async def test_many_requests_at_once_share_few_calls_and_each_gets_its_own_answer(rig: Rig, asker: Asker) -> None:
    rich, poor = rig.lane(), rig.lane(credit=None)
    asking = [asker.ask(poor if number % 3 == 0 else rich, max_tokens=number + 1) for number in range(60)]
    replies = [reply for _, reply in await asyncio.gather(*asking)]
    assert [reply.status for reply in replies] == [402 if number % 3 == 0 else 200 for number in range(60)]
