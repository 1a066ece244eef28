"""The demo's catalog, as it is posted: every model that it lists is answered by its first channel and has a price."""

from __future__ import annotations

from uuid import uuid4

from schemas.money import format_amount
from services.router.table import parse_table
from tests.integration.router.rig import CHECKOUT, Asker, Lane, Rig, story

CATALOG = CHECKOUT / "deploy" / "catalog"
SCRIPT = "[sim input_tokens=90 cached_tokens=30 output_tokens=12]"


async def test_every_model_of_the_demo_is_served_over_the_format_of_its_channel(rig: Rig, asker: Asker) -> None:
    routes = (CATALOG / "routes.yaml").read_text().replace("${TOLLBOOK_PROVIDER_URL}", rig.urls["provider"]).encode()
    rig.post("settlement", "/admin/price-books", content=(CATALOG / "prices.yaml").read_bytes())
    rig.post("router", "/admin/routes", content=routes)
    account = rig.lane().account_id
    told = {}
    for model in parse_table(routes).models:
        lane = Lane(model.id, account, {"feature": uuid4().hex})
        if model.mode == "embedding":
            told[model.id] = await embedded(rig, asker, lane)
            continue
        messages = [{"role": "user", "content": "hello " * 100 + SCRIPT}]
        request_id, reply = await asker.ask(lane, messages=messages, max_tokens=100)
        assert (reply.status, reply.headers["x-tollbook-channel"]) == (200, model.candidates[0].channel), reply.body
        data = (await story(rig.kafka, request_id)).completed
        assert (data.attempts[0].usage.cached_input_tokens, data.attempts[0].usage.output_tokens) == (30, 12)
        assert reply.json["usage"]["cost"] == format_amount(data.cost_nano or 0)
        told[model.id] = data.cost_nano
    # 1,000 tokens of text in two inputs at 0.02 a million.
    assert told["text-embedding-3-small"] == 20_000
    # 60 fresh, 30 cached and 12 output tokens at the providers' list prices.
    assert (told["claude-haiku-4-5"], told["claude-sonnet-5"], told["gemini-2.5-flash"]) == (123_000, 246_000, 48_900)


async def embedded(rig: Rig, asker: Asker, lane: Lane) -> int | None:
    """What two texts cost."""
    path = "/internal/v1/embeddings"
    request_id, reply = await asker.ask(lane, path=path, input=["hello ", "[sim input_tokens=1000]"])
    assert (reply.status, len(reply.json["data"][0]["embedding"])) == (200, 1536), reply.body
    data = (await story(rig.kafka, request_id)).completed
    assert (data.attempts[0].usage.input_tokens, data.attempts[0].usage_source) == (1_000, "reported")
    assert reply.json["usage"]["cost"] == format_amount(data.cost_nano or 0)
    return data.cost_nano
