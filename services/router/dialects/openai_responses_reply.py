"""OpenAI's response as a chat completion. Pure."""

from __future__ import annotations

from typing import Any

from schemas.attempts import ErrorClass
from services.router.dialects.chat_parts import Json
from services.router.dialects.openai import read_usage
from services.router.errors import UpstreamError
from services.router.upstream_ids import printable_id

INCOMPLETE = {"max_output_tokens": "length", "content_filter": "content_filter"}
ENDS = frozenset({"completed", "incomplete"})


def usage_of(usage: Any) -> Json | None:
    """A `usage` object as chat completions count."""
    if not isinstance(usage, dict):
        return None
    prompt, output = usage.get("input_tokens"), usage.get("output_tokens")
    of_prompt, of_output = usage.get("input_tokens_details") or {}, usage.get("output_tokens_details") or {}
    if type(prompt) is not int or type(output) is not int or not isinstance(of_prompt, dict) or not isinstance(of_output, dict):
        return None
    return {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "total_tokens": prompt + output,
        "prompt_tokens_details": {
            "cached_tokens": of_prompt.get("cached_tokens") or 0,
            "cache_write_tokens": of_prompt.get("cache_write_tokens") or 0,
        },
        "completion_tokens_details": {"reasoning_tokens": of_output.get("reasoning_tokens") or 0},
    }


def failure_in(response: Json) -> UpstreamError | None:
    """What a response that has failed means, with what it burned; None for one that has ended."""
    if response["status"] in ENDS:
        return None
    error = response.get("error")
    code = error.get("code") if isinstance(error, dict) else None
    usage, upstream_id = read_usage(usage_of(response.get("usage"))), printable_id(response.get("id"))
    error_class: ErrorClass = "rate_limited" if code == "rate_limit_exceeded" else "upstream_error"
    return UpstreamError(error_class, "retry", status=200, usage=usage, upstream_id=upstream_id)


def chat_reply(response: Json) -> Json:
    """The reply. Raises KeyError, TypeError or ValueError for a response that is none."""
    said: Json = {"role": "assistant", "content": None}
    texts, refusals, reasoning, calls = [], [], [], []
    logprobs: list[Json] = []
    for item in response["output"]:
        kind = item["type"]
        if kind == "message":
            for part in item["content"]:
                if part["type"] == "refusal":
                    refusals.append(part["refusal"])
                else:
                    texts.append(part["text"])
                    logprobs += part.get("logprobs") or []
        elif kind == "function_call":
            calls.append(call_of(item))
        elif kind == "reasoning":
            reasoning += [part["text"] for part in [*(item.get("summary") or []), *(item.get("content") or [])]]
    if texts or not (refusals or calls):
        said["content"] = "".join(texts)
    for name, found in (("refusal", "".join(refusals)), ("tool_calls", calls), ("reasoning_content", "".join(reasoning))):
        if found:
            said[name] = found
    told = {"content": logprobs, "refusal": None} if logprobs else None
    choice = {"index": 0, "message": said, "finish_reason": finish_of(response, calls=bool(calls)), "logprobs": told}
    return {
        "id": response["id"],
        "object": "chat.completion",
        "created": int(response["created_at"]),
        "model": response["model"],
        "choices": [choice],
        "usage": usage_of(response.get("usage")),
    }


def call_of(item: Json) -> Json:
    """A function call."""
    return {"id": item["call_id"], "type": "function", "function": {"name": item["name"], "arguments": item["arguments"]}}


def finish_of(response: Json, *, calls: bool) -> str:
    """The finish reason of a response that has ended."""
    if response["status"] == "completed":
        return "tool_calls" if calls else "stop"
    details = response.get("incomplete_details") or {}
    return INCOMPLETE.get(str(details.get("reason")), "length")
