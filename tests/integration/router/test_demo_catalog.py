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
        messages = [{"role": "user", "content": "hello " * 100 + SCRIPT}]
        request_id, reply = await asker.ask(lane, messages=messages, max_tokens=100)
        assert (reply.status, reply.headers["x-tollbook-channel"]) == (200, model.candidates[0].channel), reply.body
        data = (await story(rig.kafka, request_id)).completed
        assert (data.attempts[0].usage.cached_input_tokens, data.attempts[0].usage.output_tokens) == (30, 12)
        assert reply.json["usage"]["cost"] == format_amount(data.cost_nano or 0)
        told[model.id] = data.cost_nano
    # 60 fresh, 30 cached and 12 output tokens at the providers' list prices.
    assert (told["claude-haiku-4-5"], told["claude-sonnet-4-5"], told["gemini-2.5-flash"]) == (123_000, 369_000, 48_900)
