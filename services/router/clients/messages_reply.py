"""A chat completion as Anthropic's message. Pure."""

from __future__ import annotations

from typing import Any

import orjson

Json = dict[str, Any]
STOPS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}


def usage_of(usage: Json) -> Json:
    """A chat completion's `usage` in Anthropic's shape, with what it says about money."""
    of_prompt = usage.get("prompt_tokens_details") or {}
    cached, written = of_prompt.get("cached_tokens") or 0, of_prompt.get("cache_write_tokens") or 0
    found: Json = {
        "input_tokens": usage["prompt_tokens"] - cached - written,
        "cache_read_input_tokens": cached,
        "cache_creation_input_tokens": written,
        "output_tokens": usage["completion_tokens"],
    }
    return found | {name: usage[name] for name in ("cost", "currency", "bucket") if name in usage}


def message_of(document: Json) -> Json:
    """The message. Raises KeyError, TypeError or ValueError for a chat completion that is none."""
    choice = document["choices"][0]
    said = choice["message"]
    content: list[Json] = list(said.get("thinking_blocks") or [])
    if not content and said.get("reasoning_content"):
        content.append({"type": "thinking", "thinking": said["reasoning_content"], "signature": ""})
    if said.get("content"):
        content.append({"type": "text", "text": said["content"], "citations": None})
    if said.get("refusal"):
        content.append({"type": "text", "text": said["refusal"], "citations": None})
    content += [tool_use(call) for call in said.get("tool_calls") or []]
    return {
        "id": message_id(document.get("id")),
        "type": "message",
        "role": "assistant",
        "model": document.get("model"),
        "content": content,
        "stop_reason": stop_reason(choice.get("finish_reason")),
        "stop_sequence": None,
        "usage": usage_of(document["usage"]),
    }


def tool_use(call: Json) -> Json:
    """A tool call as a block."""
    arguments = call["function"].get("arguments") or "{}"
    return {"type": "tool_use", "id": call["id"], "name": call["function"]["name"], "input": orjson.loads(arguments)}


def stop_reason(finish: Any) -> str:
    """The stop reason that a finish reason stands for."""
    return STOPS.get(finish, "end_turn")


def message_id(reply_id: Any) -> str:
    """An id as messages have them."""
    text = str(reply_id or "")
    return text if text.startswith("msg_") else f"msg_{text}"
