"""The official `openai` Python client, unchanged but for its base URL."""

from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI

pytestmark = pytest.mark.stack

WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@pytest.fixture
def client(described: dict[str, Any]) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{described['edge_url']}/v1", api_key=described["demo"]["api_key"], max_retries=0) as made:
        yield made


def _ask(text: str) -> Any:
    return [{"role": "user", "content": text}]


def test_a_plain_completion_carries_its_cost(client: OpenAI) -> None:
    reply = client.chat.completions.create(model="gpt-4o", messages=_ask("Good morning"), max_tokens=20)
    assert reply.choices[0].message.content
    assert reply.usage is not None
    assert reply.usage.completion_tokens <= 20
    assert reply.usage.model_extra is not None
    assert {"cost", "currency", "bucket"} <= set(reply.usage.model_extra)


def test_a_stream_with_usage_ends_with_usage_and_cost(client: OpenAI) -> None:
    options: Any = {"include_usage": True}
    chunks = list(
        client.chat.completions.create(
            model="gpt-4o", messages=_ask("Tell me a story"), max_tokens=40, stream=True, stream_options=options
        )
    )
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] in {"stop", "length"}
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens > 0
    assert "cost" in (chunks[-1].usage.model_extra or {})


def test_a_stream_without_usage_option_shows_no_usage_chunk(client: OpenAI) -> None:
    chunks = list(client.chat.completions.create(model="gpt-4o", messages=_ask("A story"), max_tokens=30, stream=True))
    assert all(chunk.usage is None for chunk in chunks)
    assert all(chunk.choices for chunk in chunks)


def test_tool_calls_pass_through(client: OpenAI) -> None:
    reply = client.chat.completions.create(
        model="gpt-4o", messages=_ask("Weather in Bern?"), tools=[WEATHER], tool_choice="required", max_tokens=100
    )
    calls = reply.choices[0].message.tool_calls
    assert calls
    assert calls[0].type == "function"
    assert calls[0].function.name == "get_weather"
    assert "city" in calls[0].function.arguments


def test_streamed_tool_calls_pass_through(client: OpenAI) -> None:
    stream = client.chat.completions.create(
        model="gpt-4o", messages=_ask("Weather in Bern?"), tools=[WEATHER], tool_choice="required", max_tokens=100, stream=True
    )
    deltas = [call for chunk in stream if chunk.choices for call in chunk.choices[0].delta.tool_calls or []]
    assert deltas[0].function is not None
    assert deltas[0].function.name == "get_weather"
    assert "city" in "".join(d.function.arguments or "" for d in deltas if d.function)


def test_models_are_listed_with_prices(client: OpenAI) -> None:
    models = {model.id: model for model in client.models.list()}
    assert "gpt-4o" in models
    assert (models["gpt-4o"].model_extra or {})["pricing"]


def test_a_bad_key_raises_authentication_error(described: dict[str, Any]) -> None:
    with (
        OpenAI(base_url=f"{described['edge_url']}/v1", api_key="sk-tb-nobody", max_retries=0) as stranger,
        pytest.raises(openai.AuthenticationError),
    ):
        stranger.chat.completions.create(model="gpt-4o", messages=_ask("hello"))


def test_an_unknown_model_raises_not_found(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as raised:
        client.chat.completions.create(model="gpt-nothing", messages=_ask("hello"))
    assert raised.value.code == "model_not_found"


def test_a_wrong_type_raises_bad_request(client: OpenAI) -> None:
    wrong: Any = "not a list"
    with pytest.raises(openai.BadRequestError) as raised:
        client.chat.completions.create(model="gpt-4o", messages=wrong)
    assert raised.value.param == "messages"
