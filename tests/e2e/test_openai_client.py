"""The official `openai` Python client, unchanged but for its base URL."""

from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI
from pydantic import BaseModel

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


class Forecast(BaseModel):
    """What a structured answer must be."""

    city: str
    degrees: int
    sunny: bool


def test_a_structured_answer_is_parsed_over_each_format(client: OpenAI) -> None:
    for model in ("gpt-4o", "claude-haiku-4-5", "gemini-2.5-flash"):
        reply = client.chat.completions.parse(model=model, messages=_ask("Bern?"), response_format=Forecast, max_tokens=100)
        assert isinstance(reply.choices[0].message.parsed, Forecast)


def test_a_parsed_tool_call_has_its_arguments(client: OpenAI) -> None:
    tool: Any = openai.pydantic_function_tool(Forecast, name="report")
    reply = client.chat.completions.parse(
        model="gpt-4o", messages=_ask("Bern?"), tools=[tool], tool_choice="required", max_tokens=100
    )
    [call] = reply.choices[0].message.tool_calls or []
    assert isinstance(call.function.parsed_arguments, Forecast)


def test_a_stream_helper_ends_with_the_whole_message(client: OpenAI) -> None:
    with client.chat.completions.stream(model="gpt-4o", messages=_ask("Bern?"), response_format=Forecast) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()
    assert {"content.delta", "content.done", "chunk"} <= kinds
    assert isinstance(final.choices[0].message.parsed, Forecast)


def test_an_image_is_taken(client: OpenAI) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    content: Any = [{"type": "text", "text": "What is this?"}, image]
    for model in ("gpt-4o", "claude-haiku-4-5", "gemini-2.5-flash"):
        reply = client.chat.completions.create(model=model, messages=[{"role": "user", "content": content}], max_tokens=50)
        assert reply.choices[0].message.content


@pytest.mark.parametrize("form", ["float", "base64"])
def test_embeddings_are_vectors_and_cost_their_input(client: OpenAI, form: Any) -> None:
    reply = client.embeddings.create(
        model="text-embedding-3-small", input=["hello", "there"], dimensions=16, encoding_format=form
    )
    assert [each.index for each in reply.data] == [0, 1]
    assert reply.usage.prompt_tokens == reply.usage.total_tokens > 0
    assert {"cost", "currency", "bucket"} <= set(reply.usage.model_extra or {})
    if form == "float":
        assert [len(each.embedding) for each in reply.data] == [16, 16]


def test_embeddings_without_a_format_and_of_tokens_are_unpacked_by_the_client(client: OpenAI) -> None:
    one = client.embeddings.create(model="text-embedding-3-small", input="hello", dimensions=16)
    tokens = client.embeddings.create(model="text-embedding-3-small", input=[[1, 2, 3], [4]], dimensions=16)
    assert [len(each.embedding) for each in [*one.data, *tokens.data]] == [16, 16, 16]
    assert tokens.usage.prompt_tokens == 4


def test_a_model_is_found_by_its_id(client: OpenAI) -> None:
    model = client.models.retrieve("text-embedding-3-small")
    assert (model.id, (model.model_extra or {})["mode"]) == ("text-embedding-3-small", "embedding")
    assert (model.model_extra or {})["pricing"]["direct"]["input"] == "0.02"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-nothing")


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
