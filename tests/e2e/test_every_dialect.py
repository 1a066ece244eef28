"""Each model of the demo's catalog, served by each provider's format in turn, asked in each API by official clients.

The answer is the same, and so is the charge: what the usage costs at the model's price, whoever served it and however it was
asked. Beside the catalog's own places, a place for each format is put into the route table, and taken out again.
"""

from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import yaml
from anthropic import Anthropic
from openai import OpenAI

pytestmark = pytest.mark.stack

CATALOG = Path(__file__).parents[2] / "deploy" / "catalog"
DIALECTS = {"openai": "v1", "openai-responses": "v1", "anthropic": "v1", "gemini": "v1beta"}
TEXT = "hello " * 100 + "[sim input_tokens=90 cached_tokens=30 output_tokens=12]"
TABLE: dict[str, Any] = yaml.safe_load((CATALOG / "routes.yaml").read_text())
PRICES: list[dict[str, Any]] = yaml.safe_load((CATALOG / "prices.yaml").read_text())["prices"]
MODELS = {model["id"]: model for model in TABLE["models"] if model.get("mode", "chat") == "chat"}
CHANNELS = {channel["id"]: channel for channel in TABLE["channels"]}


class Told(NamedTuple):
    """What a client was told: the text, its tokens (fresh, cached, output), and what it cost."""

    text: str
    tokens: tuple[int, int, int]
    cost: str


class Clients(NamedTuple):
    """The official clients."""

    openai: OpenAI
    anthropic: Anthropic


@pytest.fixture(scope="module")
def places(described: dict[str, Any]) -> Iterator[None]:
    """The table with each model at each format, under an id of its own."""
    with httpx.Client(trust_env=False, headers={"authorization": f"Bearer {described['admin_token']}"}) as http:
        address, provider = f"{described['router_url']}/admin/routes", described["provider_url"]
        text = (CATALOG / "routes.yaml").read_text().replace("${TOLLBOOK_PROVIDER_URL}", provider)
        table = yaml.safe_load(text)
        for model in MODELS.values():
            for dialect, version in DIALECTS.items():
                table["channels"].append(_channel(model, dialect, f"{provider}/every-{dialect}/{version}"))
                candidate = {"channel": _at(model["id"], dialect), "upstream_model": model["candidates"][0]["upstream_model"]}
                table["models"].append({**model, "id": _at(model["id"], dialect), "candidates": [candidate]})
        http.post(address, json=table).raise_for_status()
        yield
        http.post(address, content=text.encode()).raise_for_status()


def _at(model: str, dialect: str) -> str:
    return f"{model}-over-{dialect}"


def _channel(model: dict[str, Any], dialect: str, base_url: str) -> dict[str, Any]:
    """A channel of the same route type as the model's own first place, so that the same price counts."""
    own = CHANNELS[model["candidates"][0]["channel"]]
    place = {"id": _at(model["id"], dialect), "route_type": own["route_type"], "brand": own["brand"], "dialect": dialect}
    return {**place, "base_url": base_url, "keys": [{"secret": "sim-every-dialect"}]}


@pytest.fixture(scope="module")
def clients(described: dict[str, Any], places: None) -> Iterator[Clients]:
    """Clients of the demo's account."""
    edge, key = described["edge_url"], described["demo"]["api_key"]
    with OpenAI(base_url=f"{edge}/v1", api_key=key) as one, Anthropic(base_url=edge, api_key=key) as other:
        yield Clients(one, other)


def _chat(clients: Clients, model: str) -> Told:
    reply = clients.openai.chat.completions.create(model=model, messages=[{"role": "user", "content": TEXT}], max_tokens=50)
    assert reply.usage is not None
    assert reply.usage.prompt_tokens_details is not None
    cached = reply.usage.prompt_tokens_details.cached_tokens or 0
    tokens = (reply.usage.prompt_tokens - cached, cached, reply.usage.completion_tokens)
    return Told(reply.choices[0].message.content or "", tokens, _cost(reply.usage))


def _chat_stream(clients: Clients, model: str) -> Told:
    with clients.openai.chat.completions.stream(
        model=model, messages=[{"role": "user", "content": TEXT}], max_tokens=50, stream_options={"include_usage": True}
    ) as stream:
        stream.until_done()
        reply = stream.get_final_completion()
    usage = reply.usage
    assert usage is not None
    assert usage.prompt_tokens_details is not None
    cached = usage.prompt_tokens_details.cached_tokens or 0
    tokens = (usage.prompt_tokens - cached, cached, usage.completion_tokens)
    return Told(reply.choices[0].message.content or "", tokens, _cost(usage))


def _responses(clients: Clients, model: str) -> Told:
    return _response_told(clients.openai.responses.create(model=model, input=TEXT, max_output_tokens=50))


def _responses_stream(clients: Clients, model: str) -> Told:
    with clients.openai.responses.stream(model=model, input=TEXT, max_output_tokens=50) as stream:
        return _response_told(stream.get_final_response())


def _response_told(response: Any) -> Told:
    usage = response.usage
    cached = usage.input_tokens_details.cached_tokens
    return Told(response.output_text, (usage.input_tokens - cached, cached, usage.output_tokens), _cost(usage))


def _messages(clients: Clients, model: str) -> Told:
    return _message_told(clients.anthropic.messages.create(model=model, max_tokens=50, messages=_asked()))


def _messages_stream(clients: Clients, model: str) -> Told:
    """The client puts the counts together and leaves out the cost, which the last event but one has."""
    with clients.anthropic.messages.stream(model=model, max_tokens=50, messages=_asked()) as stream:
        [cost] = [_cost(event.usage) for event in stream if event.type == "message_delta"]
        return _message_told(stream.get_final_message(), cost)


def _asked() -> Any:
    return [{"role": "user", "content": TEXT}]


def _message_told(message: Any, cost: str | None = None) -> Told:
    usage = message.usage
    tokens = (usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens)
    text = "".join(block.text for block in message.content if block.type == "text")
    return Told(text, tokens, cost or _cost(usage))


def _cost(usage: Any) -> str:
    return str((usage.model_extra or {})["cost"])


APIS: dict[str, Callable[[Clients, str], Told]] = {
    "chat completions": _chat,
    "chat completions, streamed": _chat_stream,
    "responses": _responses,
    "responses, streamed": _responses_stream,
    "messages": _messages,
    "messages, streamed": _messages_stream,
}


def _expected(model: str) -> Decimal:
    """What 60 fresh, 30 cached and 12 output tokens cost at the price of the model's first place."""
    first = MODELS[model]["candidates"][0]
    route_type = CHANNELS[first["channel"]]["route_type"]
    [price] = [each for each in PRICES if (each["route_type"], each["model"]) == (route_type, first["upstream_model"])]
    fresh, output = Decimal(price["input"]), Decimal(price["output"])
    return (60 * fresh + 30 * Decimal(price.get("cached_input") or fresh) + 12 * output) / 1_000_000


@pytest.mark.parametrize("model", MODELS)
def test_a_model_answers_alike_and_costs_alike_over_every_format_and_in_every_api(clients: Clients, model: str) -> None:
    told = {(dialect, name): ask(clients, _at(model, dialect)) for dialect in DIALECTS for name, ask in APIS.items()}
    own = {("the catalog's own", name): ask(clients, model) for name, ask in APIS.items()}
    texts = {each.text for each in (told | own).values()}
    assert len(texts) == 1
    assert texts != {""}
    assert {key: each.tokens for key, each in (told | own).items() if each.tokens != (60, 30, 12)} == {}
    assert {key: each.cost for key, each in (told | own).items() if Decimal(each.cost) != _expected(model)} == {}
