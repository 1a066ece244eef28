"""Lanes whose primary speaks one dialect and whose backup speaks OpenAI's, and what the tests over them share."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from schemas.money import Prices, Usage
from tests.integration.router.rig import Lane, Reply, Rig, Story, story

DIALECTS = {"openai": "v1", "openai-responses": "v1", "anthropic": "v1", "gemini": "v1beta"}
LANES, EMBEDDING_LANES = 48, 4
PRICES = Prices.parse("2.5", "10", "1.25", "3.125")
PRICE_BOOK = """
version: 1
buckets:
  - {id: credit, currency: USD, route_types: [direct]}
  - {id: wallet, currency: CNY, route_types: [pooled, subscription]}
prices:
  - {route_type: direct, model: gpt-4o, currency: USD, input: "2.5", cached_input: "1.25", cache_write: "3.125", output: "10"}
"""
PROMPT = "hello " * 100
PLAIN = "[sim input_tokens=90 output_tokens=12]"
USAGE = Usage(input_tokens=90, output_tokens=12)
TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "The weather of a city",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }
]
SPEAKING = pytest.mark.parametrize("dialect", DIALECTS)
FOREIGN = pytest.mark.parametrize("dialect", ["openai-responses", "anthropic", "gemini"])
STREAMS = pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])


CHATTING: dict[str, Any] = {"max_input_tokens": 128_000, "max_output_tokens": 16_384}
EMBEDDING: dict[str, Any] = {"max_input_tokens": 8192, "mode": "embedding"}


def table(rig: Rig) -> dict[str, Any]:
    """Lanes of each dialect, for chat and for embeddings."""
    channels, models = [], []
    kinds = [(dialect, f"{dialect}{number}", CHATTING) for dialect in DIALECTS for number in range(LANES)]
    kinds += [(dialect, f"{dialect}-embed{number}", EMBEDDING) for dialect in DIALECTS for number in range(EMBEDDING_LANES)]
    for dialect, name, limits in kinds:
        lane = Lane(name, "")
        for id_, spoken in ((lane.main, dialect), (lane.backup, "openai")):
            place = {"base_url": f"{rig.urls['provider']}/{id_}/{DIALECTS[spoken]}", "keys": [{"secret": f"sk-{id_}"}]}
            channels.append({"id": id_, "route_type": "direct", "brand": "sim", "dialect": spoken, **place})
        candidates = [{"channel": id_, "upstream_model": "gpt-4o"} for id_ in (lane.main, lane.backup)]
        models.append({"id": lane.model, "owned_by": "sim", **limits, "candidates": candidates})
    return {"version": 1, "channels": channels, "models": models}


def said(script: str) -> list[dict[str, str]]:
    return [{"role": "system", "content": "Be brief."}, {"role": "user", "content": f"{PROMPT}{script}"}]


async def tell(rig: Rig, request_id: UUID) -> Story:
    told = await story(rig.kafka, request_id)
    told.assert_consistent()
    return told


def message_of(reply: Reply, *, stream: bool) -> tuple[dict[str, Any], str, dict[str, Any]]:
    """(what was said, finish reason, usage) of a plain reply or of a stream put together."""
    if not stream:
        choice = reply.json["choices"][0]
        calls = [call["function"] for call in choice["message"].get("tool_calls") or []]
        return {"content": choice["message"]["content"] or "", "calls": calls}, choice["finish_reason"], reply.json["usage"]
    *chunks, usage, done = reply.events
    assert done == "[DONE]"
    content, calls, finish = "", [], ""
    for chunk in chunks:
        [choice] = chunk["choices"]
        content += choice["delta"].get("content") or ""
        for call in choice["delta"].get("tool_calls") or []:
            if "id" in call:
                calls.append({"name": call["function"]["name"], "arguments": ""})
            calls[-1]["arguments"] += call["function"].get("arguments") or ""
        finish = choice["finish_reason"] or finish
    return {"content": content, "calls": calls}, finish, usage["usage"]


def options(stream: bool) -> dict[str, Any]:
    return {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
