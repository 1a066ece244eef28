"""The official `anthropic` Python client, unchanged but for its base URL, over every provider's format."""

import asyncio
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic

from tests.e2e.driver import Driver

pytestmark = pytest.mark.stack

MODELS = pytest.mark.parametrize("model", ["gpt-4o", "claude-haiku-4-5", "gemini-2.5-flash"])
WEATHER: Any = {
    "name": "get_weather",
    "description": "The weather of a city",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


@pytest.fixture
def client(described: dict[str, Any]) -> Iterator[Anthropic]:
    with Anthropic(base_url=described["edge_url"], api_key=described["demo"]["api_key"], max_retries=0) as made:
        yield made


def _ask(text: str) -> Any:
    return [{"role": "user", "content": text}]


@MODELS
def test_a_message_carries_its_cost(client: Anthropic, model: str) -> None:
    message = client.messages.create(model=model, max_tokens=20, system="Be brief.", messages=_ask("Good morning"))
    assert message.content[0].type == "text"
    assert message.content[0].text
    assert message.usage.input_tokens > 0
    assert 0 < message.usage.output_tokens <= 20
    assert {"cost", "currency", "bucket"} <= set(message.usage.model_extra or {})


@MODELS
def test_a_stream_reads_as_the_same_message(client: Anthropic, model: str) -> None:
    with client.messages.stream(model=model, max_tokens=40, messages=_ask("Tell me a story")) as stream:
        text = "".join(stream.text_stream)
        message = stream.get_final_message()
    assert text
    assert message.content[0].type == "text"
    assert message.content[0].text == text
    assert message.stop_reason in {"end_turn", "max_tokens"}
    assert 0 < message.usage.output_tokens <= 40


@MODELS
def test_a_tool_is_used_and_its_result_is_taken(client: Anthropic, model: str) -> None:
    asked: Any = {"model": model, "max_tokens": 100, "tools": [WEATHER], "tool_choice": {"type": "any"}}
    first = client.messages.create(messages=_ask("Weather in Bern?"), **asked)
    assert first.stop_reason == "tool_use"
    use = next(block for block in first.content if block.type == "tool_use")
    assert use.name == "get_weather"
    assert "city" in use.input
    history = [
        *_ask("Weather in Bern?"),
        {"role": "assistant", "content": [block.to_dict() for block in first.content]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": use.id, "content": "sunny"}]},
    ]
    second = client.messages.create(messages=history, **{**asked, "tool_choice": {"type": "none"}})
    assert second.content


@MODELS
def test_a_streamed_tool_use_reads_as_its_input(client: Anthropic, model: str) -> None:
    asked: Any = {"model": model, "max_tokens": 100, "tools": [WEATHER], "tool_choice": {"type": "any"}}
    with client.messages.stream(messages=_ask("Weather in Bern?"), **asked) as stream:
        message = stream.get_final_message()
    use = next(block for block in message.content if block.type == "tool_use")
    assert "city" in use.input


def test_models_are_listed_as_the_client_knows_them(client: Anthropic) -> None:
    models = {model.id: model for model in client.models.list()}
    assert models["claude-haiku-4-5"].type == "model"
    assert client.models.retrieve("claude-haiku-4-5").display_name == "claude-haiku-4-5"


def test_errors_are_the_clients_own_kinds(client: Anthropic, described: dict[str, Any]) -> None:
    with pytest.raises(anthropic.NotFoundError):
        client.messages.create(model="nothing", max_tokens=5, messages=_ask("hello"))
    with pytest.raises(anthropic.BadRequestError) as raised:
        client.messages.create(model="gpt-4o", max_tokens=5, messages=_ask("hello"), extra_body={"tool_choice": 1})
    assert isinstance(raised.value.body, dict)
    assert (raised.value.body["type"], raised.value.body["error"]["param"]) == ("error", "tool_choice")
    with (
        Anthropic(base_url=described["edge_url"], api_key="sk-tb-nobody", max_retries=0) as stranger,
        pytest.raises(anthropic.AuthenticationError),
    ):
        stranger.messages.create(model="gpt-4o", max_tokens=5, messages=_ask("hello"))


async def _settled(driver: Driver, key: str, request_id: str) -> dict[str, Any]:
    for _ in range(200):
        receipt = await driver.receipt(key, request_id)
        if receipt["status"] == "settled":
            return receipt
        await asyncio.sleep(0.05)
    raise AssertionError(f"request {request_id} was not settled: {receipt}")


async def test_a_message_costs_what_the_same_chat_completion_costs(driver: Driver, described: dict[str, Any]) -> None:
    """The provider's simulator counts the same text the same; the receipt names the API that was used."""
    customer = await driver.customer(main={})
    await driver.top_up(customer.account_id, "credit", "5")
    key = customer.keys["main"]
    with Anthropic(base_url=described["edge_url"], api_key=key, max_retries=0) as client:
        message = client.messages.create(model="gpt-4o", max_tokens=30, messages=_ask("The same words"))
        request_id = message._request_id
    chat = await driver.chat(key, {"model": "gpt-4o", "max_tokens": 30, "messages": _ask("The same words")})
    usage = chat.usage
    assert (message.usage.input_tokens, message.usage.output_tokens) == (usage["prompt_tokens"], usage["completion_tokens"])
    assert (message.usage.model_extra or {})["cost"] == usage["cost"]
    assert request_id is not None
    receipt = await _settled(driver, key, request_id)
    assert (receipt["client_api"], receipt["charge"]["amount"]) == ("messages", usage["cost"])
