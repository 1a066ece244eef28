"""The official `openai` client against the running simulator."""

from __future__ import annotations

from typing import Any

import openai
import orjson
import pytest
from openai.types.chat import ChatCompletion

from .conftest import Provider

PROMPT: list[Any] = [{"role": "user", "content": "What does a ledger hold?"}]
COUNTS = {"sim_input_tokens": "120", "sim_output_tokens": "30", "sim_cached_tokens": "100", "sim_reasoning_tokens": "8"}
TOOLS: list[Any] = [
    {
        "type": "function",
        "function": {"name": "balance", "parameters": {"type": "object", "properties": {"account": {"type": "string"}}}},
    }
]


def ask(provider: Provider, **fields: Any) -> ChatCompletion:
    reply = provider.openai.chat.completions.create(model="gpt-4o", messages=PROMPT, **fields)
    assert isinstance(reply, ChatCompletion)
    return reply


def drain(provider: Provider, **fields: Any) -> list[Any]:
    stream = provider.openai.chat.completions.create(model="gpt-4o", messages=PROMPT, stream=True, **fields)
    return list(stream)


def test_a_plain_reply_reports_the_scripted_usage(provider: Provider) -> None:
    reply = ask(provider, metadata=COUNTS)
    assert reply.usage is not None
    assert reply.usage.prompt_tokens_details is not None
    assert reply.usage.completion_tokens_details is not None
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens, reply.usage.total_tokens) == (120, 30, 150)
    assert reply.usage.prompt_tokens_details.cached_tokens == 100
    assert reply.usage.completion_tokens_details.reasoning_tokens == 8
    assert len((reply.choices[0].message.content or "").split()) == 22


def test_a_stream_says_the_same_as_the_plain_reply(provider: Provider) -> None:
    chunks = drain(provider, metadata=COUNTS, stream_options={"include_usage": True})
    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    whole = ask(provider, metadata=COUNTS)
    assert said == whole.choices[0].message.content
    assert chunks[-1].usage == whole.usage


def test_a_paced_stream_says_the_same_as_an_instant_one(provider: Provider) -> None:
    paced = drain(provider, metadata={**COUNTS, "sim_ttft_ms": "20", "sim_chunk_ms": "1", "sim_latency_ms": "1"})
    instant = drain(provider, metadata=COUNTS)
    assert [chunk.choices for chunk in paced] == [chunk.choices for chunk in instant]
    assert provider.stats()["tokens_sent"] == 2 * 22


def test_tools_are_called_plain_and_streamed(provider: Provider) -> None:
    call: Any = (ask(provider, tools=TOOLS, tool_choice="required").choices[0].message.tool_calls or [])[0]
    assert (call.function.name, orjson.loads(call.function.arguments)) == ("balance", {"account": "filler"})
    with provider.openai.chat.completions.stream(
        model="gpt-4o", messages=PROMPT, tools=TOOLS, tool_choice="required"
    ) as stream:
        final: Any = stream.get_final_completion()
    assert final.choices[0].finish_reason == "tool_calls"
    assert final.choices[0].message.tool_calls[0].function.arguments == call.function.arguments


def test_models_are_listed_and_found(provider: Provider) -> None:
    listed = [model.id for model in provider.openai.models.list()]
    assert provider.openai.models.retrieve(listed[0]).id == listed[0]
    with pytest.raises(openai.NotFoundError):
        provider.openai.models.retrieve("nobody")


def test_without_a_key_the_channel_refuses(provider: Provider) -> None:
    reply = provider.http.post(f"/{provider.channel}/v1/chat/completions", json={"model": "m", "messages": PROMPT})
    assert reply.status_code == 401
    assert reply.json()["error"]["type"] == "invalid_request_error"
    assert provider.requests()[-1]["authorization"] is False


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"kind": "429", "retry_after_s": 7}, openai.RateLimitError),
        ({"kind": "500"}, openai.InternalServerError),
        ({"kind": "503"}, openai.InternalServerError),
        ({"kind": "400"}, openai.BadRequestError),
        ({"kind": "burned"}, openai.InternalServerError),
        ({"kind": "refuse"}, openai.APIConnectionError),
        ({"kind": "cut"}, openai.APIConnectionError),
        ({"kind": "malformed"}, ValueError),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_each_fault_is_the_typed_exception_that_it_should_be_and_then_over(
    provider: Provider, fault: dict[str, Any], error: type[Exception], stream: bool
) -> None:
    provider.script(fault)
    request = drain if stream else ask
    with pytest.raises(error) as raised:
        request(provider)
    if fault["kind"] == "429":
        assert isinstance(raised.value, openai.RateLimitError)
        assert raised.value.response.headers["retry-after"] == "7"
        assert raised.value.code == "rate_limit_exceeded"
    assert request(provider)
    assert provider.stats()["faults"] == {fault["kind"]: 1}
    assert [seen["fault"] for seen in provider.requests()] == [fault["kind"], None]


def test_the_client_retries_past_a_rate_limit_by_itself(provider: Provider) -> None:
    provider.script({"kind": "429", "times": 2, "retry_after_s": 0})
    with openai.OpenAI(base_url=provider.base_url, api_key="k", max_retries=2) as client:
        assert client.chat.completions.create(model="gpt-4o", messages=PROMPT).choices
    assert provider.stats()["requests"] == 3


def test_a_timeout_is_never_answered(provider: Provider) -> None:
    provider.script({"kind": "timeout"})
    with pytest.raises(openai.APITimeoutError):
        ask(provider, timeout=0.2)
    assert provider.invoice() == []
