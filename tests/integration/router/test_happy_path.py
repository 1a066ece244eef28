"""Plain and streamed requests: held, called, recorded, charged."""

from __future__ import annotations

from schemas.money import Usage, format_amount
from tests.integration.router.rig import Asker, Rig, expected_charge, story

SCRIPTED = {"sim_input_tokens": "90", "sim_cached_tokens": "30", "sim_output_tokens": "12"}
USAGE = Usage(input_tokens=60, cached_input_tokens=30, output_tokens=12)


async def test_a_plain_reply_carries_its_cost_and_its_route(rig: Rig, asker: Asker) -> None:
    lane = rig.lane()
    request_id, reply = await asker.ask(lane, metadata=SCRIPTED)
    assert reply.status == 200
    assert (reply.json["usage"]["cost"], reply.json["usage"]["currency"], reply.json["usage"]["bucket"]) == (
        format_amount(expected_charge("direct", USAGE)),
        "USD",
        "credit",
    )
    told = {name.removeprefix("x-tollbook-"): value for name, value in reply.headers.items() if name.startswith("x-tollbook-")}
    assert float(told.pop("overhead-ms")) >= 0
    assert int(told.pop("tokens")) == USAGE.input_tokens + USAGE.cached_input_tokens + USAGE.output_tokens  # for edge alone
    assert told == {
        "route": f"direct/{lane.main}", "route-type": "direct", "channel": lane.main, "upstream-model": "gpt-4o",
        "bucket": "credit", "attempts": "1", "fallbacks": "0",
    }  # fmt: skip
    assert reply.headers["x-request-id"] == str(request_id)


async def test_the_record_of_a_plain_request_is_complete(rig: Rig, asker: Asker) -> None:
    lane = rig.lane()
    request_id, _ = await asker.ask(lane, metadata=SCRIPTED)
    told = await story(rig.kafka, request_id)
    told.assert_consistent()
    data = told.completed
    assert told.types == ["AttemptStarted", "AttemptFinished", "RequestCompleted"]
    assert (data.outcome, data.http_status, data.charged_attempt, data.fallbacks) == ("succeeded", 200, 1, [])
    assert (data.attempts[0].usage, data.attempts[0].usage_source) == (USAGE, "reported")
    assert data.cost_nano == expected_charge("direct", USAGE)
    assert data.attempts[0].operator_cost_nano == data.cost_nano * 8 // 10
    assert [each.channel for each in data.plan] == [lane.main, lane.backup, lane.pool]


async def test_a_stream_ends_with_its_usage_and_its_cost(rig: Rig, asker: Asker) -> None:
    lane = rig.lane()
    options = {"include_usage": True}
    request_id, reply = await asker.ask(lane, stream=True, stream_options=options, metadata=SCRIPTED)
    *chunks, usage, done = reply.events
    assert done == "[DONE]"
    assert (usage["choices"], usage["usage"]["completion_tokens"]) == ([], 12)
    assert usage["usage"]["cost"] == format_amount(expected_charge("direct", USAGE))
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks[-2:]] == [None, "stop"]
    data = (await story(rig.kafka, request_id)).completed
    assert (data.stream, data.outcome, data.cost_nano) == (True, "succeeded", expected_charge("direct", USAGE))
    assert data.ttft_ms is not None
    assert data.attempts[0].ttft_ms is not None


async def test_a_stream_shows_no_usage_that_was_not_asked_for(rig: Rig, asker: Asker) -> None:
    lane = rig.lane()
    request_id, reply = await asker.ask(lane, stream=True, metadata=SCRIPTED)
    assert reply.events[-1] == "[DONE]"
    assert all(chunk["choices"] and not chunk.get("usage") for chunk in reply.events[:-1])
    assert rig.asked(lane.main)[-1]["include_usage"] is True
    assert (await story(rig.kafka, request_id)).completed.attempts[0].usage == USAGE


async def test_the_holds_cap_goes_upstream_where_the_client_gave_none(rig: Rig, asker: Asker) -> None:
    lane = rig.lane()
    await asker.ask(lane)
    await asker.ask(lane, max_tokens=17)
    caps = [shape["max_tokens"] for shape in rig.asked(lane.main)]
    assert caps == [4096, 17]


async def test_tool_calls_pass_through(rig: Rig, asker: Asker) -> None:
    lane = rig.lane()
    tools = [{"type": "function", "function": {"name": "look_up", "parameters": {"type": "object", "properties": {}}}}]
    _, reply = await asker.ask(lane, tools=tools, metadata={"sim_tool": "1"})
    assert reply.json["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "look_up"


async def test_models_are_listed_with_their_routes(rig: Rig, asker: Asker) -> None:
    lane = rig.lane()
    reply = await asker.http.get("/internal/models", headers={"authorization": "Bearer edge-token"})
    [model] = [each for each in reply.json()["data"] if each["id"] == lane.model]
    assert model["routes"][0] == {"channel": lane.main, "route_type": "direct", "brand": "sim", "upstream_model": "gpt-4o"}
    assert (model["max_input_tokens"], model["max_output_tokens"], model["mode"]) == (128_000, 16_384, "chat")
    assert model["drains"] is True
