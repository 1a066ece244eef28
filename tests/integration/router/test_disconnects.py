"""The client leaves: its channel's policy says what becomes of the upstream call, and the record says what was done."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import orjson
import pytest

from schemas.attempts import RequestCompletedData
from schemas.envelope import new_id
from schemas.money import Usage
from tests.integration.router.rig import Asker, Lane, Rig, expected_charge, story

SCRIPTED = {"sim_input_tokens": "90", "sim_output_tokens": "40"}
USAGE = Usage(input_tokens=90, output_tokens=40)
PROMPT_ESTIMATE = 600 // 4 + 3
CAP = 64


@pytest.fixture(scope="module")
def cancelling(rig: Rig) -> Iterator[None]:
    """The main channel of each lane cancels, its backup drains."""
    table = rig.table()
    for channel in table["channels"]:
        if channel["id"].endswith("-main"):
            channel["on_disconnect"] = "cancel"
    rig.post("router", "/admin/routes", content=orjson.dumps(table))
    yield
    rig.post("router", "/admin/routes", content=orjson.dumps(rig.table()))


async def left(rig: Rig, asker: Asker, lane: Lane, *, stream: bool, **pace: str) -> tuple[UUID, RequestCompletedData]:
    """The record of a request whose client leaves: a stream after its first bytes, a plain one while it waits."""
    request_id = new_id()
    body: dict[str, Any] = {"stream": stream, "max_tokens": CAP, "metadata": {**SCRIPTED, **pace}}
    if stream:
        async with asker.begin(lane, request_id, **body) as response:
            async for _ in response.aiter_raw():
                break
    else:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.15), asker.begin(lane, request_id, **body):
                pass
    told = await story(rig.kafka, request_id)
    told.assert_consistent()
    return request_id, told.completed


def receipt(rig: Rig, lane: Lane, request_id: UUID) -> dict[str, Any]:
    """The request's receipt, once it is settled."""
    found: dict[str, Any] = rig.settled_receipt(lane.account_id, request_id)
    return found


@pytest.mark.usefixtures("cancelling")
async def test_a_plain_call_that_is_cancelled_is_charged_to_nobody_and_its_exposure_is_on_record(
    rig: Rig, asker: Asker
) -> None:
    lane = rig.lane()
    request_id, data = await left(rig, asker, lane, stream=False, sim_latency_ms="900")
    assert (data.outcome, data.http_status, data.error_class, data.charged_attempt) == ("cancelled", 499, "client_gone", None)
    [attempt] = data.attempts
    assert (attempt.outcome, attempt.error_class, attempt.after_disconnect) == ("cancelled", "client_gone", "cancelled")
    assert (attempt.usage, attempt.usage_source, attempt.operator_cost_nano) == (Usage(), "none", None)
    assert attempt.exposure is not None
    assert (attempt.exposure.output_tokens, attempt.operator_cost_currency) == (CAP, "USD")
    assert attempt.exposure.input_tokens >= 150
    assert attempt.operator_exposure_nano == expected_charge("direct", attempt.exposure) * 8 // 10
    shown = receipt(rig, lane, request_id)
    assert (shown["status"], shown["attempts"][0]["after_disconnect"]) == ("released", "cancelled")
    assert shown["attempts"][0]["exposure"]["output_tokens"] == CAP
    assert "operator_exposure_nano" not in shown["attempts"][0]
    assert any("may bill Tollbook for up to" in line for line in shown["explanation"])
    assert [each["request_id"] for each in rig.exposures() if each["account_id"] == lane.account_id] == [str(request_id)]


@pytest.mark.usefixtures("cancelling")
async def test_a_stream_that_is_cancelled_is_charged_for_what_was_streamed(rig: Rig, asker: Asker) -> None:
    lane = rig.lane()
    request_id, data = await left(rig, asker, lane, stream=True, sim_chunk_ms="100")
    [attempt] = data.attempts
    assert (data.outcome, attempt.outcome, attempt.after_disconnect) == ("cancelled", "cancelled", "cancelled")
    assert attempt.usage_source == "estimated"
    assert attempt.usage.output_tokens < USAGE.output_tokens
    assert attempt.exposure is not None
    charged = data.charged_attempt
    if attempt.usage.output_tokens:
        assert (attempt.usage.input_tokens, charged) == (PROMPT_ESTIMATE, 1)
        assert data.cost_nano == expected_charge("direct", attempt.usage)
        assert receipt(rig, lane, request_id)["charge"]["amount_nano"] == data.cost_nano
    else:
        assert charged is None


@pytest.mark.usefixtures("cancelling")
async def test_a_stream_that_is_silent_when_its_client_leaves_is_cancelled_at_once(rig: Rig, asker: Asker) -> None:
    lane = rig.lane()
    rig.pace(lane.main, latency_ms=0, ttft_ms=0, chunk_ms=900)
    _, data = await left(rig, asker, lane, stream=True)
    # Nobody waited for the next chunk, nor for the end of the patience with a silent upstream.
    assert (data.error_class, data.attempts[0].after_disconnect) == ("client_gone", "cancelled")
    assert data.attempts[0].latency_ms < 900


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.usefixtures("cancelling")
async def test_a_channel_that_drains_gives_the_real_usage_and_the_receipt_says_so(
    rig: Rig, asker: Asker, *, stream: bool
) -> None:
    lane = rig.lane()
    rig.script(lane.main, {"kind": "401"})
    rig.pace(lane.backup, latency_ms=0 if stream else 400, ttft_ms=0, chunk_ms=10)
    request_id, data = await left(rig, asker, lane, stream=stream)
    *_, attempt = data.attempts
    assert (attempt.channel, attempt.after_disconnect, attempt.exposure) == (lane.backup, "drained", None)
    assert (attempt.usage, attempt.usage_source, data.cost_nano) == (USAGE, "reported", expected_charge("direct", USAGE))
    shown = receipt(rig, lane, request_id)
    assert shown["attempts"][-1]["after_disconnect"] == "drained"
    assert any("although the client had gone" in line for line in shown["explanation"])


@pytest.mark.usefixtures("cancelling")
async def test_a_drain_ends_at_its_bound(rig: Rig, asker: Asker) -> None:
    lane = rig.lane()
    rig.script(lane.main, {"kind": "401"})
    rig.pace(lane.backup, latency_ms=0, ttft_ms=0, chunk_ms=200)
    request_id, data = await left(rig, asker, lane, stream=True)
    *_, attempt = data.attempts
    # 40 chunks of 200 ms would take as long as the request may: the drain is bounded by two seconds here.
    assert (attempt.after_disconnect, attempt.usage_source, data.error_class) == ("cancelled", "estimated", "client_gone")
    assert 0 < attempt.usage.output_tokens < 40
    assert data.cost_nano == expected_charge("direct", attempt.usage)
    assert receipt(rig, lane, request_id)["status"] == "settled"
