"""The official `anthropic` client, unchanged, against the simulator."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import pytest

from tests.integration.provider.conftest import Provider

MODEL = "claude-haiku-4-5"
TOOL: Any = {"name": "weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}


@pytest.fixture
def client(provider: Provider) -> Iterator[anthropic.Anthropic]:
    url = f"{provider.url}/{provider.channel}"
    with anthropic.Anthropic(base_url=url, api_key="sk-any", max_retries=0, timeout=60) as client:
        yield client


def user(text: str) -> Any:
    return [{"role": "user", "content": text}]


def test_a_message_is_answered_and_billed(client: anthropic.Anthropic, provider: Provider) -> None:
    reply = client.messages.create(
        model=MODEL, max_tokens=100, messages=user("[sim input_tokens=80 cached_tokens=30 output_tokens=12]")
    )
    assert (reply.usage.input_tokens, reply.usage.cache_read_input_tokens, reply.usage.output_tokens) == (50, 30, 12)
    assert reply._request_id is not None  # the client has no other name for the reply's header
    line = provider.invoice()[0]
    assert (line["model"], line["prompt_tokens"], line["cached_tokens"], line["completion_tokens"]) == (MODEL, 80, 30, 12)
    csv = provider.http.get("/control/invoice", params={"channel": provider.channel}).text
    assert csv.splitlines()[1].startswith(f"{reply.id},")


def test_a_stream_gathers_to_the_plain_reply(client: anthropic.Anthropic) -> None:
    whole = client.messages.create(model=MODEL, max_tokens=100, messages=user("hello"))
    with client.messages.stream(model=MODEL, max_tokens=100, messages=user("hello")) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert whole.content[0].type == "text"
    assert text == whole.content[0].text
    assert (final.usage.output_tokens, final.stop_reason) == (whole.usage.output_tokens, "end_turn")


def test_a_tool_loop_ends(client: anthropic.Anthropic) -> None:
    with client.messages.stream(model=MODEL, max_tokens=100, tools=[TOOL], messages=user("Call the tool.")) as stream:
        first = stream.get_final_message()
    block = first.content[0]
    assert block.type == "tool_use"
    assert (first.stop_reason, block.input) == ("tool_use", {"city": "filler"})
    answer: Any = {"type": "tool_result", "tool_use_id": block.id, "content": "sunny"}
    turns: Any = [
        *user("Call the tool."),
        {"role": "assistant", "content": first.content},
        {"role": "user", "content": [answer]},
    ]
    last = client.messages.create(model=MODEL, max_tokens=100, tools=[TOOL], messages=turns)
    assert (last.stop_reason, last.content[0].type) == ("end_turn", "text")


@pytest.mark.parametrize(
    ("kind", "error", "name"),
    [
        ("429", anthropic.RateLimitError, "rate_limit_error"),
        ("500", anthropic.InternalServerError, "api_error"),
        ("529", anthropic.APIStatusError, "overloaded_error"),
    ],
)
def test_a_scripted_status_is_the_clients_own_error(
    client: anthropic.Anthropic, provider: Provider, kind: str, error: type[anthropic.APIStatusError], name: str
) -> None:
    provider.script({"kind": kind})
    with pytest.raises(error) as raised:
        client.messages.create(model=MODEL, max_tokens=100, messages=user("hello"))
    body: Any = raised.value.body
    assert (raised.value.status_code, body["error"]["type"]) == (int(kind), name)
    assert raised.value.request_id == body["request_id"]


def test_a_wrong_body_is_the_clients_bad_request(client: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.BadRequestError, match="nobody_knows: Extra inputs are not permitted"):
        client.messages.create(model=MODEL, max_tokens=100, messages=user("hello"), extra_body={"nobody_knows": 1})


def test_each_client_is_told_its_own_models(client: anthropic.Anthropic, provider: Provider) -> None:
    assert MODEL in [model.id for model in client.models.list()]
    assert client.models.retrieve(MODEL).display_name == "Claude Haiku 4.5"
    assert "gpt-4o" in [model.id for model in provider.openai.models.list()]
