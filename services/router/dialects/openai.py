"""OpenAI chat completions: request out, plain reply in, errors classified. Pure."""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson

from schemas.attempts import ErrorClass
from schemas.money import Usage
from services.router.ask import Ask
from services.router.errors import UpstreamError, Verdict
from services.router.upstream_ids import printable_id

PATH = "/chat/completions"
TOKENS_MAX = 10**8
"""A report of more tokens than any context holds is none: the usage is estimated instead."""
ERROR_BODY_MAX = 64 * 1024
RUN_FIELD = "run_id"
_CLIENT_FAULT = frozenset({400, 404, 413, 422})
_KEY_FAULT = frozenset({401, 402, 403})
_AGAIN: dict[int, ErrorClass] = {
    408: "timeout",
    409: "upstream_error",
    425: "upstream_error",
    502: "upstream_unavailable",
    503: "upstream_unavailable",
    504: "timeout",
    529: "upstream_unavailable",
}
"""Statuses that may pass by themselves, beside every other of 500 and above."""


class Reply(NamedTuple):
    """A plain reply. `usage` is None where the upstream reported none that holds water.

    `native` is the upstream's own document where it is no chat completion, and `spoken` the API that it belongs to.
    """

    document: dict[str, Any]
    usage: Usage | None
    model: str | None
    upstream_id: str | None
    native: dict[str, Any] | None = None
    spoken: str = "chat.completions"


def headers_of(secret: str) -> dict[str, str]:
    """What authenticates the channel, and the body's type."""
    return {"authorization": f"Bearer {secret}", "content-type": "application/json", "accept-encoding": "identity"}


def request_body(ask: Ask, upstream_model: str, output_cap: int) -> bytes:
    """The body for the upstream: the client's own, with the upstream's model, the hold's cap, and usage asked for in streams.

    Raises :class:`UpstreamError` for a body that is nested deeper than it can be written.
    """
    body = dict(ask.body)
    body["model"] = upstream_model
    if "metadata" in body:
        _take_ours(body)
    client_used_new_name = body.pop("max_completion_tokens", None) is not None
    body.pop("max_tokens", None)
    if client_used_new_name or takes_completion_cap(upstream_model):
        body["max_completion_tokens"] = output_cap
    else:
        body["max_tokens"] = output_cap
    if ask.stream:
        body["stream_options"] = {**(body.get("stream_options") or {}), "include_usage": True}
    return encoded(body)


def encoded(body: dict[str, Any]) -> bytes:
    """The request as bytes. Raises :class:`UpstreamError` for a body that is nested deeper than it can be written."""
    try:
        return orjson.dumps(body)
    except orjson.JSONEncodeError:
        error = {
            "message": "The body is nested too deeply.",
            "type": "invalid_request_error",
            "param": None,
            "code": "invalid_json",
        }
        raise UpstreamError("not_translatable", "pass", status=400, body=orjson.dumps({"error": error})) from None


def without_others(body: dict[str, Any]) -> dict[str, Any]:
    """The body without what only other providers know: their thinking blocks, and hints of what their caches should keep."""
    messages = [{name: value for name, value in message.items() if name != "thinking_blocks"} for message in body["messages"]]
    for message in messages:
        if isinstance(message.get("content"), list):
            message["content"] = [_without_hint(part) for part in message["content"]]
    return {**body, "messages": [message for message in messages if len(message) > 1]}


def _without_hint(part: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in part.items() if name != "cache_control"}


def _take_ours(body: dict[str, Any]) -> None:
    """Leave out `metadata.run_id`, which is meant for Tollbook: OpenAI refuses metadata unless the reply is to be stored."""
    metadata = body["metadata"]
    if isinstance(metadata, dict) and RUN_FIELD in metadata:
        body["metadata"] = {name: value for name, value in metadata.items() if name != RUN_FIELD}
        if not body["metadata"]:
            del body["metadata"]


def takes_completion_cap(upstream_model: str) -> bool:
    """Whether the model knows its output cap only as `max_completion_tokens` (gpt-5 and later, and the o series)."""
    name = upstream_model.rsplit("/", 1)[-1]
    if name.startswith("gpt-") and name[4:5].isdigit():
        return int(name[4]) >= 5
    return name[:1] == "o" and name[1:2].isdigit()


def read_reply(body: bytes) -> Reply:
    """The reply in the body of a 200. Raises :class:`UpstreamError` (malformed_reply) where there is none."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise UpstreamError("malformed_reply", "retry", status=200) from None
    if not isinstance(document, dict):
        raise UpstreamError("malformed_reply", "retry", status=200)
    return reply_of(document)


def reply_of(document: dict[str, Any]) -> Reply:
    """A chat completion as a reply. Raises :class:`UpstreamError` (malformed_reply) where it answers nothing."""
    usage = read_usage(document.get("usage"))
    upstream_id = printable_id(document.get("id"))
    if not isinstance(document.get("choices"), list) or not document["choices"]:
        raise UpstreamError("malformed_reply", "retry", status=200, usage=usage, upstream_id=upstream_id)
    model = document.get("model")
    return Reply(document, usage, model if isinstance(model, str) else None, upstream_id)


def reply_text_chars(document: dict[str, Any]) -> int:
    """Characters of everything that the reply's choices say, for an estimate."""
    return sum(len(orjson.dumps(choice.get("message"))) for choice in document.get("choices", []) if isinstance(choice, dict))


def priced(reply: Reply, usage: Usage, cost: dict[str, str]) -> dict[str, Any]:
    """The reply with its cost: `usage.cost`, `usage.currency`, `usage.bucket`; `usage` where it reported none."""
    document = reply.document
    counts = usage_document(usage) if reply.usage is None else document["usage"]
    document["usage"] = {**counts, **cost}
    return document


def priced_body(reply: Reply, usage: Usage, cost: dict[str, str]) -> bytes:
    """The same as bytes."""
    return orjson.dumps(priced(reply, usage, cost))


def read_usage(value: object) -> Usage | None:
    """Token classes of a `usage` object, None where it is absent or its figures contradict each other."""
    if not isinstance(value, dict):
        return None
    prompt, completion = _tokens(value, "prompt_tokens"), _tokens(value, "completion_tokens")
    if prompt is None or completion is None:
        return None
    of_prompt, of_completion = value.get("prompt_tokens_details") or {}, value.get("completion_tokens_details") or {}
    if not isinstance(of_prompt, dict) or not isinstance(of_completion, dict):
        return None
    cached, written = _tokens(of_prompt, "cached_tokens", 0), _tokens(of_prompt, "cache_write_tokens", 0)
    reasoning = _tokens(of_completion, "reasoning_tokens", 0)
    if cached is None or written is None or reasoning is None or cached + written > prompt or reasoning > completion:
        return None
    return Usage.model_construct(
        input_tokens=prompt - cached - written,
        cached_input_tokens=cached,
        cache_write_tokens=written,
        output_tokens=completion,
        reasoning_tokens=reasoning,
    )


def prompt_of(counts: dict[str, Any] | None) -> Usage | None:
    """What a `usage` object says of the prompt alone: the output of a stream under way is not known yet."""
    return None if counts is None else read_usage({**counts, "completion_tokens": 0, "completion_tokens_details": None})


def usage_document(usage: Usage) -> dict[str, Any]:
    """A `usage` object in OpenAI's shape."""
    prompt = usage.input_tokens + usage.cached_input_tokens + usage.cache_write_tokens
    return {
        "prompt_tokens": prompt,
        "completion_tokens": usage.output_tokens,
        "total_tokens": prompt + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_input_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def failure_of(status: int, body: bytes, retry_after_s: float | None) -> UpstreamError:
    """What an answer other than 200 means."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        document = None
    error = document.get("error") if isinstance(document, dict) else None
    code = error.get("code") if isinstance(error, dict) else None
    usage = read_usage(document.get("usage")) if isinstance(document, dict) else None
    if usage is None and isinstance(error, dict):
        usage = read_usage(error.get("usage"))
    error_class, verdict = _classify(status, code)
    told = isinstance(error, dict) and isinstance(error.get("message"), str)
    kept = body if verdict == "pass" and told and len(body) <= ERROR_BODY_MAX else b""
    return UpstreamError(error_class, verdict, status=status, retry_after_s=retry_after_s, usage=usage, body=kept)


def _classify(status: int, code: object) -> tuple[ErrorClass, Verdict]:
    if status in _CLIENT_FAULT:
        return ("content_filtered" if code in ("content_filter", "content_policy_violation") else "invalid_request"), "pass"
    if status in _KEY_FAULT:
        return "unauthorized", "next"
    if status == 429:
        return "rate_limited", "next" if code == "insufficient_quota" else "retry"
    # A redirect (never followed) or an answer that the dialect does not know: the channel is not what the table says.
    return _AGAIN.get(status, "upstream_error"), "retry" if status >= 500 or status in _AGAIN else "next"


def _tokens(value: dict[str, Any], key: str, default: int | None = None) -> int | None:
    found = value.get(key)
    if found is None:
        return default
    return found if type(found) is int and 0 <= found <= TOKENS_MAX else None
