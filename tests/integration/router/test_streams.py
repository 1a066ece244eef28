"""Streams that break, overrun or outlive their client."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any
from uuid import uuid4

import httpx
import pytest

from schemas.money import Usage, format_amount
from tests.integration.router.rig import Asker, Rig, expected_charge, story

SCRIPTED = {"sim_input_tokens": "90", "sim_output_tokens": "40"}
USAGE = Usage(input_tokens=90, output_tokens=40)
INCLUDE = {"include_usage": True}
PROMPT_ESTIMATE = 600 // 4 + 3
OUTPUT_MAX = 16_384
"""Of the rig's models."""


@pytest.fixture
async def narrow(rig: Rig) -> AsyncIterator[Asker]:
    """Edge's side of a connection that takes little before it is read: a whole stream must not fit into its buffers."""
    asker = Asker(rig)
    await asker.http.aclose()
    transport = httpx.AsyncHTTPTransport(socket_options=[(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)])
    asker.http = httpx.AsyncClient(base_url=rig.urls["router"], timeout=60, transport=transport)
    yield asker
    await asker.http.aclose()


@pytest.mark.parametrize(("kind", "code"), [("cut", "stream_cut"), ("malformed", "malformed_reply")])
async def test_a_stream_that_breaks_after_its_first_chunk_is_never_tried_again(
    rig: Rig, asker: Asker, kind: str, code: str
) -> None:
    lane = rig.lane()
    rig.script(lane.main, {"kind": kind, "after_chunks": 6})
    request_id, reply = await asker.ask(lane, stream=True, metadata={**SCRIPTED, "sim_chunk_ms": "20"})
    assert reply.status == 200
    assert reply.events[-1]["error"]["code"] == code
    assert "[DONE]" not in reply.events
    told = await story(rig.kafka, request_id)
    told.assert_consistent()
    data = told.completed
    assert (data.outcome, data.error_class, len(data.attempts)) == ("failed", code, 1)
    assert rig.stats(lane.backup)["requests"] == 0
    # The role chunk says nothing: five chunks of content were streamed, and the customer pays for these.
    streamed = Usage(input_tokens=PROMPT_ESTIMATE, output_tokens=5)
    assert (data.attempts[0].usage, data.attempts[0].usage_source) == (streamed, "estimated")
    assert (data.charged_attempt, data.cost_nano) == (1, expected_charge("direct", streamed))


async def test_a_stream_that_breaks_before_its_first_chunk_falls_back(rig: Rig, asker: Asker) -> None:
    lane = rig.lane()
    rig.script(lane.main, {"kind": "cut", "after_chunks": 0, "times": 2})
    request_id, reply = await asker.ask(lane, stream=True, metadata=SCRIPTED)
    assert (reply.headers["x-tollbook-channel"], reply.events[-1]) == (lane.backup, "[DONE]")
    data = (await story(rig.kafka, request_id)).completed
    assert [each.error_class for each in data.attempts] == ["connection_failed", "connection_failed", None]


async def test_a_stream_that_stalls_is_ended(rig: Rig, asker: Asker) -> None:
    lane = rig.lane()
    rig.pace(lane.main, latency_ms=0, ttft_ms=0, chunk_ms=3000)
    request_id, reply = await asker.ask(lane, stream=True, metadata=SCRIPTED)
    assert reply.events[-1]["error"]["code"] == "timeout"
    assert (await story(rig.kafka, request_id)).completed.error_class == "timeout"


@pytest.mark.parametrize("chunk_ms", ["0", "1"], ids=["in bursts", "paced"])
@pytest.mark.parametrize("choices", [1, 3])
async def test_a_stream_whose_upstream_ignores_its_cap_is_cut_there_and_settled_at_the_cap(
    rig: Rig, asker: Asker, choices: int, chunk_ms: str
) -> None:
    lane = rig.lane()
    metadata = {"sim_output_tokens": "300", "sim_ignore_cap": "1", "sim_chunk_ms": chunk_ms}
    request_id, reply = await asker.ask(lane, stream=True, stream_options=INCLUDE, max_tokens=50, n=choices, metadata=metadata)
    *chunks, finish, usage, done = reply.events
    assert {each["index"]: each["finish_reason"] for each in finish["choices"]} == dict.fromkeys(range(choices), "length")
    said = [each for chunk in chunks for each in chunk["choices"] if each["delta"].get("content")]
    assert (len(said), usage["usage"]["completion_tokens"], done) == (50 * choices, 50 * choices, "[DONE]")
    capped = Usage(input_tokens=PROMPT_ESTIMATE, output_tokens=50 * choices)
    assert usage["usage"]["cost"] == format_amount(expected_charge("direct", capped))
    data = (await story(rig.kafka, request_id)).completed
    assert (data.outcome, data.attempts[0].usage, data.attempts[0].usage_source) == ("succeeded", capped, "estimated")
    exposure = data.attempts[0].exposure
    assert exposure is not None
    assert exposure.output_tokens == OUTPUT_MAX * choices >= 300


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_a_client_that_left_pays_for_the_real_usage(rig: Rig, asker: Asker, *, stream: bool) -> None:
    lane = rig.lane()
    request_id = uuid4()
    pace = {"sim_chunk_ms": "10"} if stream else {"sim_latency_ms": "400"}
    body: dict[str, Any] = {"stream": stream, "metadata": {**SCRIPTED, **pace}}
    if stream:
        async with asker.begin(lane, request_id, **body) as response:
            async for _ in response.aiter_raw():
                break
    else:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.15), asker.begin(lane, request_id, **body):
                pass
    data = (await story(rig.kafka, request_id)).completed
    assert (data.outcome, data.error_class, data.charged_attempt) == ("cancelled", "client_gone", 1)
    assert (data.attempts[0].usage, data.attempts[0].usage_source) == (USAGE, "reported")
    assert data.cost_nano == expected_charge("direct", USAGE)


async def test_a_client_that_left_before_a_retry_is_not_served_any_further(rig: Rig, asker: Asker) -> None:
    lane = rig.lane()
    request_id = uuid4()
    rig.script(lane.main, {"kind": "500", "latency_ms": 400, "times": 5})
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.15), asker.begin(lane, request_id):
            pass
    data = (await story(rig.kafka, request_id)).completed
    assert (data.outcome, data.error_class, data.charged_attempt, len(data.attempts)) == ("cancelled", "client_gone", None, 1)


async def test_several_choices_are_all_streamed_to_their_end(rig: Rig, asker: Asker) -> None:
    lane = rig.lane()
    request_id, reply = await asker.ask(lane, stream=True, stream_options=INCLUDE, n=3, metadata=SCRIPTED)
    finished = {c["index"] for event in reply.events[:-1] for c in event["choices"] if c["finish_reason"]}
    assert finished == {0, 1, 2}
    data = (await story(rig.kafka, request_id)).completed
    assert data.attempts[0].usage == Usage(input_tokens=90, output_tokens=120)


async def test_a_client_that_stops_reading_pays_for_the_real_usage_and_sees_no_false_end(rig: Rig, narrow: Asker) -> None:
    lane = rig.lane()
    request_id = uuid4()
    metadata = {"sim_input_tokens": "90", "sim_output_tokens": "16000"}
    read = b""
    with suppress(httpx.RemoteProtocolError):
        async with narrow.begin(lane, request_id, stream=True, max_tokens=16_000, metadata=metadata) as response:
            data = (await story(rig.kafka, request_id)).completed
            async for part in response.aiter_raw():
                read += part
    assert b"[DONE]" not in read
    assert (data.outcome, data.error_class, data.charged_attempt) == ("cancelled", "client_gone", 1)
    assert (data.attempts[0].usage.output_tokens, data.attempts[0].usage_source) == (16_000, "reported")
