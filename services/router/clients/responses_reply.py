"""A chat completion as OpenAI's response. Pure."""

from __future__ import annotations

from typing import Any

from services.router.dialects.thinking_blocks import sealed

Json = dict[str, Any]
INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""Finish reasons after which a response is incomplete, and why; after every other it is complete."""
ECHOED: Json = {
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}
"""What a response repeats of its request, and what it says where the request is silent."""
MONEY = ("cost", "currency", "bucket")


def usage_of(usage: Json) -> Json:
    """A chat completion's `usage` as responses count, with what it says about money."""
    of_prompt, of_output = usage.get("prompt_tokens_details") or {}, usage.get("completion_tokens_details") or {}
    found: Json = {
        "input_tokens": usage["prompt_tokens"],
        "input_tokens_details": {
            "cached_tokens": of_prompt.get("cached_tokens") or 0,
            "cache_write_tokens": of_prompt.get("cache_write_tokens") or 0,
        },
        "output_tokens": usage["completion_tokens"],
        "output_tokens_details": {"reasoning_tokens": of_output.get("reasoning_tokens") or 0},
        "total_tokens": usage["prompt_tokens"] + usage["completion_tokens"],
    }
    return found | {name: usage[name] for name in MONEY if name in usage}


def frame(request: Json, reply_id: Any, created: Any, model: Any) -> Json:
    """A response that has only begun."""
    echoed = {name: default if request.get(name) is None else request[name] for name, default in ECHOED.items()}
    echoed["text"] = {"format": {"type": "text"}, **(request.get("text") or {})}
    return {
        "id": response_id(reply_id),
        "object": "response",
        "created_at": created,
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        **echoed,
        "model": model,
        "output": [],
        "previous_response_id": None,
        "service_tier": "default",
        "store": False,
        "usage": None,
    }


def ended(response: Json, output: list[Json], finish: Any, usage: Json | None) -> Json:
    """The same at its end."""
    reason = INCOMPLETE.get(finish)
    status = "completed" if reason is None else "incomplete"
    details = None if reason is None else {"reason": reason}
    return {**response, "status": status, "incomplete_details": details, "output": output, "usage": usage}


def response_of(document: Json, request: Json) -> Json:
    """The response. Raises KeyError, TypeError or IndexError for a chat completion that is none."""
    choice = document["choices"][0]
    begun = frame(request, document.get("id"), document.get("created"), document.get("model"))
    finish = choice.get("finish_reason")
    status = "incomplete" if finish in INCOMPLETE else "completed"
    output = output_of(choice["message"], choice.get("logprobs"), begun["id"], status)
    return ended(begun, output, finish, usage_of(document["usage"]))


def output_of(said: Json, logprobs: Any, of: str, status: str) -> list[Json]:
    """The items of a reply: its reasoning, its text, its calls."""
    output: list[Json] = []
    if said.get("reasoning_content") or said.get("thinking_blocks"):
        text = said.get("reasoning_content")
        output.append(reasoning_item(item_id("rs", of, 0), text if isinstance(text, str) else "", said.get("thinking_blocks")))
    parts: list[Json] = []
    if said.get("content"):
        told = (logprobs.get("content") if isinstance(logprobs, dict) else None) or []
        parts.append(text_part(said["content"], told))
    if said.get("refusal"):
        parts.append({"type": "refusal", "refusal": said["refusal"]})
    if parts:
        output.append(message_item(item_id("msg", of, len(output)), parts, status))
    for call in said.get("tool_calls") or []:
        output.append(call_item(item_id("fc", of, len(output)), call, status))
    return output


def text_part(text: str, logprobs: list[Json]) -> Json:
    """Text of a message."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": logprobs}


def message_item(id_: str, parts: list[Json], status: str) -> Json:
    """What was said."""
    return {"id": id_, "type": "message", "status": status, "role": "assistant", "content": parts}


def reasoning_item(id_: str, text: str, blocks: list[Json] | None) -> Json:
    """What was thought; the provider's own blocks in a form that can be sent back."""
    item: Json = {"id": id_, "type": "reasoning", "summary": [{"type": "summary_text", "text": text}] if text else []}
    return {**item, "encrypted_content": sealed(blocks)} if blocks else item


def call_item(id_: str, call: Json, status: str) -> Json:
    """A function that is to be called."""
    function = call["function"]
    item = {"id": id_, "type": "function_call", "status": status, "call_id": call["id"], "name": function["name"]}
    extra = {"extra_content": call["extra_content"]} if call.get("extra_content") else {}
    return {**item, "arguments": function.get("arguments") or "", **extra}


def response_id(reply_id: Any) -> str:
    """An id as responses have them."""
    text = str(reply_id or "")
    return text if text.startswith("resp_") else f"resp_{text}"


def item_id(prefix: str, response: str, place: int) -> str:
    """The id of an item, by its place in the response."""
    return f"{prefix}_{response.removeprefix('resp_')}_{place}"
