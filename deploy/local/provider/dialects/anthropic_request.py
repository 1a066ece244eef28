"""Anthropic's wire format, requests: what a body asks for, and the errors that Anthropic's API gives for a wrong one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import orjson
from pydantic import ValidationError

from deploy.local.provider.ask import Ask, Shape, ToolCall
from deploy.local.provider.decide import Wish, decide
from deploy.local.provider.dialects.anthropic_body import (
    Body,
    Document,
    Image,
    Message,
    Text,
    ThinkingEnabled,
    ToolResult,
    ToolUse,
)
from deploy.local.provider.errors import RefusedError
from deploy.local.provider.phrase import TOOL_PHRASE, scripted
from deploy.local.provider.tokens import Script
from deploy.local.provider.toolcalls import call_of, json_of

IMAGE_TOKENS = 1_600
"""About what an image of the largest size that is not scaled down costs."""


def authorize(headers: Sequence[tuple[bytes, bytes]]) -> None:
    """Want `x-api-key` (or a bearer token) and `anthropic-version`; which ones does not matter."""
    found = {name.lower(): value.strip() for name, value in headers}
    if not found.get(b"x-api-key") and not found.get(b"authorization", b"").lower().startswith(b"bearer "):
        raise RefusedError(401, "x-api-key header is required")
    if not found.get(b"anthropic-version"):
        raise RefusedError(400, "anthropic-version: header is required")


def parse(raw: bytes) -> dict[str, Any]:
    """The body as an object, or RefusedError (400)."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise RefusedError(400, f"The request body is not valid JSON: {error}") from error
    if type(body) is not dict:
        raise RefusedError(400, "Input should be a valid dictionary")
    return body


def shape(body: dict[str, Any]) -> Shape:
    """The form of a body, however wrong the body is."""
    model, cap, messages, tools = (body.get(key) for key in ("model", "max_tokens", "messages", "tools"))
    stream = body.get("stream") is True
    return Shape(
        model if type(model) is str else None,
        tuple(body),
        cap if type(cap) is int else None,
        stream,
        stream,
        1,
        len(messages) if type(messages) is list else 0,
        len(tools) if type(tools) is list else 0,
    )


def read(raw: dict[str, Any]) -> Ask:
    """Decide the reply to a body, or RefusedError (400)."""
    try:
        body = Body.model_validate(raw)
    except ValidationError as error:
        raise _refused(error) from error
    _check(body)
    texts, images = _said(body)
    text = "".join(texts)
    script = scripted(text, {})
    thinks = body.thinking is not None and body.thinking.type != "disabled"
    shown = thinks and getattr(body.thinking, "display", None) != "omitted"
    form = body.output_config.format if body.output_config else None
    tool = _tool(body, script)
    literal = json_of(form.json_schema) if form is not None and tool is None else None
    wish = Wish(
        body.model, text, len(body.messages), images * IMAGE_TOKENS, body.max_tokens, 1, body.stream, tool, literal,
        thinks, shown,
    )  # fmt: skip
    return decide(wish, script)


def _refused(error: ValidationError) -> RefusedError:
    """The first fault, worded as the API words it: where, then what."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return RefusedError(400, f"{where}: {first['msg']}", param=where)


def _check(body: Body) -> None:
    """The rules that hold between fields."""
    if not body.messages:
        raise RefusedError(400, "messages: at least one message is required", param="messages")
    if body.tool_choice is not None and not body.tools:
        raise RefusedError(400, "tool_choice: may only be specified while providing tools", param="tool_choice")
    _check_thinking(body)
    called: list[str] = []
    for index, message in enumerate(body.messages):
        _check_turn(index, message, called, last=index == len(body.messages) - 1)
        called = [block.id for block in message.blocks if isinstance(block, ToolUse)]


def _check_thinking(body: Body) -> None:
    if body.thinking is None or body.thinking.type == "disabled":
        return
    if isinstance(body.thinking, ThinkingEnabled) and body.thinking.budget_tokens >= body.max_tokens:
        raise RefusedError(400, "`max_tokens` must be greater than `thinking.budget_tokens`", param="max_tokens")
    if body.temperature not in {None, 1}:
        raise RefusedError(400, "`temperature` may only be set to 1 when thinking is enabled", param="temperature")
    if body.tool_choice is not None and body.tool_choice.type in {"any", "tool"}:
        raise RefusedError(400, "Thinking may not be enabled when tool_choice forces tool use.", param="tool_choice")


def _check_turn(index: int, message: Message, called: list[str], *, last: bool) -> None:
    """A turn says something, and answers exactly the calls of the turn before."""
    blocks = message.blocks
    empty = not blocks or any(isinstance(block, Text) and not block.text for block in blocks)
    if empty and (message.role == "user" or not last):
        raise RefusedError(400, f"messages.{index}: all messages must have non-empty content", param="messages")
    answered = [block.tool_use_id for block in blocks if isinstance(block, ToolResult)]
    for name in answered:
        if name not in called:
            what = f"unexpected `tool_use_id` found in `tool_result` blocks: {name}"
            raise RefusedError(400, f"messages.{index}: {what}", param="messages")
    if missing := [name for name in called if name not in answered]:
        what = f"`tool_use` ids were found without `tool_result` blocks immediately after: {', '.join(missing)}"
        raise RefusedError(400, f"messages.{index - 1}: {what}", param="messages")


def _said(body: Body) -> tuple[list[str], int]:
    """Every text of the request, and how many images and documents come with them."""
    system = [body.system] if isinstance(body.system, str) else [block.text for block in body.system]
    blocks = [block for message in body.messages for block in message.blocks]
    inner = [part for block in blocks if isinstance(block, ToolResult) for part in _parts(block)]
    images = sum(isinstance(block, Image | Document) for block in [*blocks, *inner])
    return [*system, *_texts(blocks), *_texts(inner)], images


def _parts(result: ToolResult) -> list[Any]:
    return [Text(type="text", text=result.content)] if isinstance(result.content, str) else result.content


def _texts(blocks: Iterable[Any]) -> list[str]:
    return [block.text for block in blocks if isinstance(block, Text)]


def _tool(body: Body, script: Script) -> ToolCall | None:
    """The call that the model makes: forced by tool_choice, or its own choice where that is free."""
    tools = {tool.name: {"name": tool.name, "parameters": tool.input_schema} for tool in body.tools or ()}
    kind = body.tool_choice.type if body.tool_choice else "auto"
    if not tools or kind == "none":
        return None
    if kind == "tool":
        name = body.tool_choice.name if body.tool_choice else None
        if name not in tools:
            raise RefusedError(400, f"Tool '{name}' not found in provided tools", param="tool_choice")
        return call_of(tools[name])
    return call_of(next(iter(tools.values()))) if kind == "any" or _wants(body, script) else None


def _wants(body: Body, script: Script) -> bool:
    """A model that was given the tool's answer answers in text: otherwise an agent's loop would not end."""
    blocks = body.messages[-1].blocks
    if any(isinstance(block, ToolResult) for block in blocks):
        return False
    asked = body.messages[-1].role == "user" and TOOL_PHRASE in "".join(_texts(blocks)).lower()
    return script.call_tool or asked
