"""A chat completion request as Anthropic's messages. Pure.

System and developer messages become `system`; tool results become blocks of the user; turns of one role are joined, since
every result of a turn's tool calls must stand in the one message after it.
"""

from __future__ import annotations

from typing import Any

from services.router.dialects.anthropic_unpriced import check_cache, refuse_unpriced
from services.router.dialects.chat_parts import (
    SYSTEM_ROLES,
    Data,
    Json,
    arguments_of,
    file_of,
    functions_of,
    image_of,
    number,
    part_text,
    said,
    schema_wish,
    stops,
    text_of,
    tool_wish,
)
from services.router.dialects.dialect import no_meaning

THINKING_TOKENS = {"low": 1024, "medium": 4096, "high": 16_384, "xhigh": 32_768}
"""What a reasoning effort is worth in thinking tokens, where the cap has room for them and an answer."""
LEAST_THINKING = 1024
NO_THINKING = frozenset({"none", "minimal"})
THOUGHTS = ("thinking", "redacted_thinking")
TOOL_WISHES = {"auto": "auto", "none": "none", "required": "any"}


def translated(body: Json, upstream_model: str, output_cap: int, *, stream: bool) -> Json:
    """The request. Raises :class:`UpstreamError` (400) naming the parameter that has no meaning there."""
    system, messages = _conversation(body["messages"])
    request: Json = {"model": upstream_model, "max_tokens": output_cap, "messages": messages}
    if system:
        request["system"] = system
    if stream:
        request["stream"] = True
    user = body.get("user")
    if isinstance(user, str) and user:
        request["metadata"] = {"user_id": user}
    for name, value in said(body):
        _take(request, name, value, output_cap)
    if "thinking" in request:
        _check_thinking(request)
    return request


def _check_thinking(request: Json) -> None:
    """Thinking leaves the sampling and the choice of a tool to the model."""
    if request.get("temperature", 1) != 1:
        raise no_meaning("temperature", "The provider of this route takes only temperature 1 together with reasoning_effort.")
    if request.get("tool_choice", {}).get("type") in {"any", "tool"}:
        raise no_meaning("tool_choice", "The provider of this route forces no tool together with reasoning_effort: use auto.")


def native(body: Json, upstream_model: str, output_cap: int) -> Json:
    """The client's own request. Thinking fits below the cap, or is left out where the cap has no room for it."""
    refuse_unpriced(body)
    request = {**body, "model": upstream_model, "max_tokens": output_cap}
    metadata = body.get("metadata")
    if isinstance(metadata, dict) and "run_id" in metadata:
        request["metadata"] = {name: value for name, value in metadata.items() if name != "run_id"}
    thinking = body.get("thinking")
    if isinstance(thinking, dict) and thinking.get("type") == "enabled" and thinking.get("budget_tokens", 0) >= output_cap:
        budget = output_cap - LEAST_THINKING
        request["thinking"] = {**thinking, "budget_tokens": budget} if budget >= LEAST_THINKING else {"type": "disabled"}
    return request


def _take(request: Json, name: str, value: Any, output_cap: int) -> None:
    taker = _TAKERS.get(name)
    if taker is not None:
        taker(request, value, output_cap)
    elif value != _NEUTRAL.get(name, ...):
        raise no_meaning(name, f"{name} has no meaning for the provider of this route.")


def _temperature(request: Json, value: Any, _: int) -> None:
    request["temperature"] = number("temperature", value, 0, 1, "from 0 to 1")


def _top_p(request: Json, value: Any, _: int) -> None:
    request["top_p"] = number("top_p", value, 0, 1, "from 0 to 1")


def _stop(request: Json, value: Any, _: int) -> None:
    request["stop_sequences"] = stops(value)


def _tools(request: Json, value: Any, _: int) -> None:
    tools = []
    for function in functions_of(value):
        tool: Json = {"name": function["name"], "input_schema": function.get("parameters") or {"type": "object"}}
        if function.get("description"):
            tool["description"] = function["description"]
        if function.get("strict"):
            tool["strict"] = True
        tools.append(tool)
    if tools:
        request["tools"] = tools


def _tool_choice(request: Json, value: Any, _: int) -> None:
    wish, name = tool_wish(value)
    choice = request.setdefault("tool_choice", {})
    choice |= {"type": "tool", "name": name} if wish == "function" else {"type": TOOL_WISHES[wish]}


def _parallel(request: Json, value: Any, _: int) -> None:
    if value is False:
        choice = request.setdefault("tool_choice", {})
        choice.setdefault("type", "auto")
        choice["disable_parallel_tool_use"] = True


def _response_format(request: Json, value: Any, _: int) -> None:
    schema = schema_wish(value)
    if schema == {}:
        raise no_meaning("response_format", "The provider of this route needs a schema: give json_schema.")
    if schema is not None:
        request["output_config"] = {"format": {"type": "json_schema", "schema": schema}}


def _effort(request: Json, value: Any, output_cap: int) -> None:
    if value in NO_THINKING:
        return
    if value not in THINKING_TOKENS:
        raise no_meaning("reasoning_effort", f"reasoning_effort is one of {', '.join([*NO_THINKING, *THINKING_TOKENS])}.")
    budget = min(THINKING_TOKENS[value], output_cap - LEAST_THINKING)
    if budget >= LEAST_THINKING:
        request["thinking"] = {"type": "enabled", "budget_tokens": budget}


_TAKERS = {
    "temperature": _temperature,
    "top_p": _top_p,
    "stop": _stop,
    "tools": _tools,
    "tool_choice": _tool_choice,
    "parallel_tool_calls": _parallel,
    "response_format": _response_format,
    "reasoning_effort": _effort,
}
_NEUTRAL: Json = {
    "n": 1,
    "logprobs": False,
    "frequency_penalty": 0,
    "presence_penalty": 0,
    "logit_bias": {},
    "modalities": ["text"],
    "verbosity": "medium",
}
"""Values that ask for what the provider does anyway."""


def _conversation(messages: list[Json]) -> tuple[str, list[Json]]:
    system: list[str] = []
    turns: list[Json] = []
    for index, message in enumerate(messages):
        param, role = f"messages.{index}", message.get("role")
        if role in SYSTEM_ROLES:
            system.append(text_of(message.get("content"), f"{param}.content"))
        elif role == "user":
            _add(turns, "user", _blocks(message.get("content"), param))
        elif role == "assistant":
            _add(turns, "assistant", _answer(message, param))
        elif role == "tool":
            _add(turns, "user", [_result(message, param)])
        else:
            raise no_meaning(f"{param}.role", f"The provider of this route has no role {role!r}.")
    return "\n\n".join(system), turns


def _add(turns: list[Json], role: str, blocks: list[Json]) -> None:
    if not blocks:
        return
    if turns and turns[-1]["role"] == role:
        turns[-1]["content"] += blocks
    else:
        turns.append({"role": role, "content": blocks})


def _answer(message: Json, param: str) -> list[Json]:
    blocks = [_thought(block, param) for block in message.get("thinking_blocks") or []]
    blocks += _blocks(message.get("content"), param)
    for index, call in enumerate(message.get("tool_calls") or []):
        where = f"{param}.tool_calls.{index}"
        arguments = arguments_of(call, where)
        blocks.append({"type": "tool_use", "id": call.get("id"), "name": call["function"].get("name"), "input": arguments})
    return blocks


def _thought(block: Json, param: str) -> Json:
    """A block of thinking that is sent back. Any other kind would be counted by nobody."""
    if block.get("type") not in THOUGHTS:
        raise no_meaning(f"{param}.thinking_blocks", f"thinking_blocks are of type {' or '.join(THOUGHTS)}.")
    return block


def _result(message: Json, param: str) -> Json:
    content = message.get("content")
    blocks = content if isinstance(content, str) else _blocks(content, param)
    return {"type": "tool_result", "tool_use_id": message.get("tool_call_id"), "content": blocks}


def _blocks(content: Any, param: str) -> list[Json]:
    if content is None:
        return []
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return [_block(part, f"{param}.content.{index}") for index, part in enumerate(content)]


def _block(part: Json, param: str) -> Json:
    kind = part["type"]
    if kind == "image_url":
        return {"type": "image", "source": _source(image_of(part, param))}
    if kind == "file":
        return {"type": "document", "source": _source(file_of(part, param))}
    block: Json = {"type": "text", "text": part_text(part, param)}
    if part.get("cache_control") is not None:
        check_cache(part["cache_control"])
        block["cache_control"] = part["cache_control"]
    return block


def _source(data: Data) -> Json:
    if data.url is not None:
        return {"type": "url", "url": data.url}
    return {"type": "base64", "media_type": data.media_type, "data": data.data}
