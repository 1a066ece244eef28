"""Starting, ending, dying: nothing under way is dropped, nothing that died is forgotten."""

from __future__ import annotations

import asyncio
import signal
import time
from uuid import uuid4

from tests.integration.router.rig import Asker, Reply, Rig, story


async def test_sigterm_finishes_what_is_under_way_and_records_it(rig: Rig, asker: Asker) -> None:
    lane = rig.lane()
    request_id = uuid4()

    async def whole() -> Reply:
        metadata = {"sim_output_tokens": "40", "sim_chunk_ms": "20"}
        async with asker.begin(lane, request_id, stream=True, metadata=metadata) as response:
            return Reply(response.status_code, response.headers, await response.aread())

    asking = asyncio.create_task(whole())
    await _until_asked(rig, lane.main)
    rig.router.signal(signal.SIGTERM)
    reply = await asking
    assert reply.events[-1] == "[DONE]"
    code = await asyncio.to_thread(rig.router.wait)
    try:
        assert code in (0, -signal.SIGTERM)
        told = await story(rig.kafka, request_id)
        told.assert_consistent()
        assert told.completed.outcome == "succeeded"
    finally:
        rig.router.start(rig.urls["router"] + "/readyz")


async def test_a_killed_router_leaves_an_open_hold_with_its_last_progress(rig: Rig, asker: Asker) -> None:
    lane = rig.lane()
    request_id = uuid4()
    metadata = {"sim_output_tokens": "2000", "sim_chunk_ms": "2"}
    async with asker.begin(lane, request_id, stream=True, metadata=metadata) as response:
        chunks = 0
        async for part in response.aiter_raw():
            chunks += part.count(b'"delta"')
            if chunks > 600:
                break
        rig.router.signal(signal.SIGKILL)
        await asyncio.to_thread(rig.router.wait)
    rig.router.start(rig.urls["router"] + "/readyz")
    assert rig.balances(lane)["credit"]["held_nano"] > 0
    _, reply = await asker.ask(lane)
    assert reply.status == 200


async def test_probes_tell_the_state(asker: Asker) -> None:
    assert (await asker.http.get("/healthz")).status_code == 200
    assert (await asker.http.get("/readyz")).json() == {"ready": True}
    metrics = (await asker.http.get("/metrics")).text
    for name in ("tollbook_router_requests_total", "tollbook_router_attempts_total", "tollbook_router_table_version"):
        assert name in metrics


async def _until_asked(rig: Rig, channel: str) -> None:
    give_up_at = time.monotonic() + 90
    while not rig.asked(channel):
        assert time.monotonic() < give_up_at
        await asyncio.sleep(0.02)
