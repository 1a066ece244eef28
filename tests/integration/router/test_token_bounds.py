"""A request that can be paid is not refused for its bytes, and no prompt costs more than its hold."""

from __future__ import annotations

import re

import orjson
import pytest

from schemas.money import format_amount
from services.router.ask import parse_ask
from services.router.prompt_parts import parts_of
from services.router.tightening import tight_bound
from tests.integration.router.rig import Asker, Lane, Rig, expected_charge, story
from tests.unit.router.prompts import ENGLISH, billed, bodies
from tests.unit.router.things import catalog, channel, model

LONG = ENGLISH * 400
GPT_4O = catalog([channel("a")], [{**model("gpt-4o", "a"), "max_input_tokens": 128_000}]).models["gpt-4o"]


def figure(rig: Rig, name: str) -> float:
    """One figure of router's metrics, 0 where it has not been counted yet."""
    found = re.search(rf"^{re.escape(name)} (\S+)$", rig.http.get(rig.urls["router"] + "/metrics").text, re.MULTILINE)
    return float(found[1]) if found else 0.0


@pytest.mark.parametrize("stream", [False, True])
async def test_what_the_tokens_cost_can_be_paid_though_the_bytes_could_not(rig: Rig, asker: Asker, *, stream: bool) -> None:
    lane = rig.lane(credit="0.05", wallet=None)
    messages = [{"role": "user", "content": LONG}]
    tokens = billed({"messages": messages}, "o200k_base")
    assert len(LONG) * 2_500 > 50_000_000 > tokens * 2_500 + 16 * 10_000
    request_id, reply = await asker.ask(
        lane, stream=stream, max_tokens=16, messages=messages, metadata={"sim_input_tokens": str(tokens)}
    )
    assert reply.status == 200, reply.body
    completed = (await story(rig.kafka, request_id)).completed
    usage = completed.attempts[-1].usage
    assert usage.input_tokens == tokens
    assert completed.cost_nano == expected_charge("direct", usage)
    assert len(completed.hold_ids) == 1


async def test_what_cannot_be_paid_at_all_is_still_refused(rig: Rig, asker: Asker) -> None:
    lane = rig.lane(credit="0.01", wallet=None)
    _, reply = await asker.ask(lane, max_tokens=16, messages=[{"role": "user", "content": LONG}])
    assert (reply.status, reply.json["error"]["code"]) == (402, "insufficient_balance")
    assert float(reply.json["error"]["needed"]) < 0.04


async def test_a_cheap_request_is_never_counted(rig: Rig, asker: Asker) -> None:
    before = figure(rig, "tollbook_router_bound_tightening_seconds_count")
    _, reply = await asker.ask(rig.lane(), messages=[{"role": "user", "content": LONG}])
    assert reply.status == 200
    assert figure(rig, "tollbook_router_bound_tightening_seconds_count") == before


async def test_no_prompt_of_the_corpus_costs_more_than_its_hold(rig: Rig, asker: Asker) -> None:
    """Each costs what a provider bills for it, and its account can pay for its tighter bound to the unit, and for no more."""
    overruns = figure(rig, "tollbook_router_hold_overruns_total")
    counted = figure(rig, 'tollbook_router_bounds_tightened_total{result="lower"}')
    name, asked = rig.lane(credit=None, wallet=None).model, 0
    for body in bodies()[::3]:
        tokens = billed(body, "o200k_base")
        content = orjson.dumps({**body, "model": name, "max_tokens": 1, "metadata": {"sim_input_tokens": str(tokens)}})
        ask = parse_ask(content)
        bound = tight_bound(ask, GPT_4O, parts_of(ask.body))
        if bound == ask.tokens_bound(GPT_4O):
            continue
        lane = Lane(name, rig.account())
        rig.top_up(lane, "credit", format_amount(bound * 2_500 + 10_000))
        _, reply = await asker.ask(lane, content=content)
        assert reply.status == 200, (body, reply.body)
        asked += 1
    assert asked >= 20
    assert figure(rig, 'tollbook_router_bounds_tightened_total{result="lower"}') == counted + asked
    assert figure(rig, "tollbook_router_hold_overruns_total") == overruns
