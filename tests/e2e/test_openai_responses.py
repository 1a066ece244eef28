"""`client.responses` of the official `openai` Python client, unchanged but for its base URL, over every provider's format."""

from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI
from pydantic import BaseModel

pytestmark = pytest.mark.stack

MODELS = pytest.mark.parametrize("model", ["gpt-4o", "claude-haiku-4-5", "gemini-2.5-flash"])
WEATHER: Any = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather of a city",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": True,
}


class Forecast(BaseModel):
    """What a structured answer must be."""

    city: str
    degrees: int


@pytest.fixture
def client(described: dict[str, Any]) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{described['edge_url']}/v1", api_key=described["demo"]["api_key"], max_retries=0) as made:
        yield made


@MODELS
def test_a_response_has_its_text_and_its_cost(client: OpenAI, model: str) -> None:
    response = client.responses.create(model=model, instructions="Be brief.", input="Good morning", max_output_tokens=64)
    assert response.output_text
    assert (response.status, (response.model_extra or {})["store"]) == ("completed", False)
    assert response.usage is not None
    assert 0 < response.usage.output_tokens <= 64
    assert {"cost", "currency", "bucket"} <= set(response.usage.model_extra or {})


@MODELS
def test_a_stream_is_put_together_by_the_client(client: OpenAI, model: str) -> None:
    with client.responses.stream(model=model, input="Tell me a story") as stream:
        text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        final = stream.get_final_response()
    assert text == final.output_text
    assert final.usage is not None
    assert "cost" in (final.usage.model_extra or {})
    plain = client.responses.create(model=model, input="Tell me a story")
    assert plain.output_text == text


def test_the_events_of_a_raw_stream_are_numbered_from_the_first_to_the_last(client: OpenAI) -> None:
    events = list(client.responses.create(model="gpt-4o", input="Tell me a story", stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    kinds = [event.type for event in events]
    assert kinds[:4] == [
        "response.created", "response.in_progress", "response.output_item.added", "response.content_part.added",
    ]  # fmt: skip
    assert kinds[-4:] == [
        "response.output_text.done", "response.content_part.done", "response.output_item.done", "response.completed",
    ]  # fmt: skip


@MODELS
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_a_tool_is_called_and_its_result_is_taken(client: OpenAI, model: str, *, stream: bool) -> None:
    asked: list[Any] = [{"role": "user", "content": "Weather in Bern?"}]
    told: Any = {"model": model, "tools": [WEATHER], "tool_choice": "required"}
    if stream:
        with client.responses.stream(input=asked, **told) as events:
            first: Any = events.get_final_response()
    else:
        first = client.responses.create(input=asked, **told)
    [call] = [item for item in first.output if item.type == "function_call"]
    assert call.name == "get_weather"
    assert "city" in call.arguments
    asked += [item.to_dict() for item in first.output]
    asked.append({"type": "function_call_output", "call_id": call.call_id, "output": "sunny"})
    second = client.responses.create(input=asked, **{**told, "tool_choice": "auto"})
    assert second.output_text


@MODELS
def test_a_structured_answer_is_parsed(client: OpenAI, model: str) -> None:
    response = client.responses.parse(model=model, input="Bern?", text_format=Forecast)
    assert isinstance(response.output_parsed, Forecast)
    with client.responses.stream(model=model, input="Bern?", text_format=Forecast) as stream:
        assert isinstance(stream.get_final_response().output_parsed, Forecast)


@MODELS
def test_a_response_that_reaches_its_cap_says_so(client: OpenAI, model: str) -> None:
    response = client.responses.create(model=model, input="[sim output_tokens=60]", max_output_tokens=20)
    assert response.incomplete_details is not None
    assert (response.status, response.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert response.usage is not None
    assert response.usage.output_tokens == 20


@MODELS
def test_reasoning_and_cached_tokens_are_counted(client: OpenAI, model: str) -> None:
    script = "hello " * 100 + "[sim input_tokens=90 cached_tokens=30 output_tokens=30 reasoning_tokens=10]"
    response = client.responses.create(model=model, input=script, reasoning={"effort": "low"})
    usage = response.usage
    assert usage is not None
    assert (usage.input_tokens, usage.input_tokens_details.cached_tokens) == (90, 30)
    assert (usage.output_tokens, usage.output_tokens_details.reasoning_tokens) == (30, 10)


@pytest.mark.parametrize(
    ("param", "value"),
    [
        ("previous_response_id", "resp_1"),
        ("store", True),
        ("background", True),
        ("conversation", "conv_1"),
        ("tools", [{"type": "web_search"}]),
    ],
)
def test_what_is_not_kept_or_not_priced_here_is_a_bad_request_that_names_it(client: OpenAI, param: str, value: Any) -> None:
    asked: Any = {param: value}
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(model="gpt-4o", input="hello", **asked)
    assert (refused.value.param or "").startswith(param)


def test_a_response_that_was_not_kept_is_not_found(client: OpenAI) -> None:
    response = client.responses.create(model="gpt-4o", input="hello")
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(response.id)
