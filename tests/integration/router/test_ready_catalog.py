"""The ready-made routes and prices: each provider's files are applied and serve, with nothing but address and key another."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import orjson
import pytest
import yaml

from schemas.money import Prices, Usage, charge_nano
from tests.integration.router.rig import CHECKOUT, Asker, Lane, Rig, story

READY = CHECKOUT / "deploy" / "catalog" / "ready"
PROVIDERS = sorted(path.name for path in READY.iterdir())
SCRIPT = "[sim input_tokens=90 output_tokens=12]"
VERSIONS = {"gemini": "v1beta"}
"""What the address of a dialect ends in, where it is not v1."""


def read(name: str, file: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((READY / name / file).read_text("utf-8"))
    return found


def test_every_provider_that_init_offers_has_its_files() -> None:
    assert PROVIDERS == ["anthropic", "deepseek", "gemini", "ollama", "openai", "openrouter", "vllm"]
    assert [sorted(path.name for path in (READY / name).iterdir()) for name in PROVIDERS] == [
        ["prices.yaml", "routes.yaml"] for _ in PROVIDERS
    ]


@pytest.mark.parametrize("name", PROVIDERS)
def test_every_routed_model_has_a_price_and_no_price_is_left_over(name: str) -> None:
    table, book = read(name, "routes.yaml"), read(name, "prices.yaml")
    types = {channel["id"]: channel["route_type"] for channel in table["channels"]}
    routed = {(types[c["channel"]], c["upstream_model"]) for model in table["models"] for c in model["candidates"]}
    assert {(price["route_type"], price["model"]) for price in book["prices"]} == routed


@pytest.mark.parametrize("name", PROVIDERS)
def test_the_prices_say_that_they_must_be_compared_and_of_when_they_are(name: str) -> None:
    head = "".join(line for line in (READY / name / "prices.yaml").read_text("utf-8").splitlines(True) if line.startswith("#"))
    assert "2026" in head
    assert "ompare" in head or "yours to say" in head


def test_the_local_providers_are_the_only_ones_without_a_variable_for_their_key() -> None:
    keyed = {name for name in PROVIDERS if "secret_env" in read(name, "routes.yaml")["channels"][0]["keys"][0]}
    assert set(PROVIDERS) - keyed == {"ollama", "vllm"}


def swapped(rig: Rig, table: dict[str, Any]) -> dict[str, Any]:
    """The table with the simulator's address and key in place of the provider's."""
    for channel in table["channels"]:
        version = VERSIONS.get(channel["dialect"], "v1")
        assert channel["base_url"].endswith(version)
        channel["base_url"] = f"{rig.urls['provider']}/{channel['id']}/{version}"
        channel["keys"] = [{"secret": "sim-key"}]
    return table


def expected(name: str, model: dict[str, Any], usage: Usage) -> int:
    """The charge by the file's own figures."""
    [line] = [row for row in read(name, "prices.yaml")["prices"] if row["model"] == model["candidates"][0]["upstream_model"]]
    prices = Prices.parse(line["input"], line["output"], line.get("cached_input"), line.get("cache_write"))
    return charge_nano(prices, usage)


@pytest.mark.parametrize("name", PROVIDERS)
async def test_a_providers_files_are_applied_and_its_models_answer_at_its_prices(rig: Rig, asker: Asker, name: str) -> None:
    posted = rig.post("settlement", "/admin/price-books", content=orjson.dumps(read(name, "prices.yaml")))
    assert posted["items"] == len(read(name, "prices.yaml")["prices"])
    done = rig.post("router", "/admin/routes", content=orjson.dumps(swapped(rig, read(name, "routes.yaml"))))
    assert done["faults"] == []
    models = [model for model in read(name, "routes.yaml")["models"] if model.get("mode", "chat") == "chat"]
    account = rig.lane().account_id
    for model in (models[0], models[-1]):
        lane = Lane(model["id"], account, {"feature": uuid4().hex})
        messages = [{"role": "user", "content": "hello " * 100 + SCRIPT}]
        request_id, reply = await asker.ask(lane, messages=messages, max_tokens=100)
        assert (reply.status, reply.headers["x-tollbook-channel"]) == (200, name), reply.body
        data = (await story(rig.kafka, request_id)).completed
        usage = data.attempts[0].usage
        assert (usage.input_tokens, usage.output_tokens, data.attempts[0].usage_source) == (90, 12, "reported")
        assert data.cost_nano == expected(name, model, usage)
