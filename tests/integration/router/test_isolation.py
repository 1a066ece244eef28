"""Requests that travel in one call do not share their fate."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import uuid4

import orjson

from schemas.calls import HoldCandidate, HoldGranted, HoldRequest
from schemas.envelope import new_id, now
from services.router.errors import LedgerUnavailableError
from services.router.holds import HoldCoalescer
from services.router.ledger import Ledger
from services.router.transport import PoolLimits, build_transport
from tests.integration.router.rig import ROUTER, Asker, Lane, Rig, context

POOL = PoolLimits(connections=4, per_host=4, connect_s=2, wait_s=5)


def hold_request(lane: Lane, tags: dict[str, str]) -> HoldRequest:
    """A hold as router asks for it."""
    document = orjson.loads(context(lane, uuid4(), None))
    return HoldRequest(
        hold_id=new_id(),
        request_id=document["request_id"],
        account_id=lane.account_id,
        key=document["key"],
        tags=tags,
        candidates=[HoldCandidate(channel=lane.main, route_type="direct", model="gpt-4o")],
        input_tokens_bound=100,
        max_output_tokens=10,
        model_max_output_tokens=16_384,
        deadline_at=now() + timedelta(seconds=60),
    )


async def test_a_hold_that_settlement_cannot_read_fails_alone(rig: Rig) -> None:
    lane = rig.lane()
    transport = build_transport(POOL)
    ledger = Ledger(transport, rig.urls["settlement"], ROUTER, POOL)
    holds = HoldCoalescer(ledger, in_flight=2, waiting=100, bound_s=4, draw=lambda: 0.5)
    # Postgres stores no NUL, so that settlement refuses the whole call that carries one.
    asking = [holds.hold(hold_request(lane, {"feature": "\0" if n % 10 == 5 else "x"})) for n in range(40)]
    answers = await asyncio.gather(*asking, return_exceptions=True)
    await transport.aclose()
    assert [n for n, answer in enumerate(answers) if not isinstance(answer, HoldGranted)] == [5, 15, 25, 35]
    assert all(isinstance(answers[n], LedgerUnavailableError) for n in (5, 15, 25, 35))


async def test_many_requests_at_once_share_few_calls_and_each_gets_its_own_answer(rig: Rig, asker: Asker) -> None:
    rich, poor = rig.lane(), rig.lane(credit=None)
    asking = [asker.ask(poor if number % 3 == 0 else rich, max_tokens=number + 1) for number in range(60)]
    replies = [reply for _, reply in await asyncio.gather(*asking)]
    assert [reply.status for reply in replies] == [402 if number % 3 == 0 else 200 for number in range(60)]
