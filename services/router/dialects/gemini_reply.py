"""Gemini's generateContent as a chat completion, plain and streamed. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import orjson

from schemas.money import Usage
from services.router.dialects.chat_parts import Json
from services.router.dialects.openai import prompt_of

FINISH = {"STOP": "stop", "MAX_TOKENS": "length", "MALFORMED_FUNCTION_CALL": "stop"}
FILTERED = frozenset(
    {"SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY", "UNEXPECTED_TOOL_CALL"}
)
_DELAY = re.compile(r"(\d{1,8}(?:\.\d{1,9})?)s", re.ASCII)
"""A duration as Google writes it in JSON."""
ERROR_CODES = {"RESOURCE_EXHAUSTED": "rate_limit_exceeded", "UNAVAILABLE": "overloaded"}


def usage_of(usage: Any) -> Json | None:
    """A `usageMetadata` object in OpenAI's shape: thoughts are output, and a tool's own prompt is prompt."""
    if not isinstance(usage, dict):
        return None
    counts = [
        usage.get(name, 0)
        for name in (
            "promptTokenCount",
            "toolUsePromptTokenCount",
            "cachedContentTokenCount",
            "candidatesTokenCount",
            "thoughtsTokenCount",
        )
    ]
    if any(type(count) is not int or count < 0 for count in counts) or "promptTokenCount" not in usage:
        return None
    prompt, tool_prompt, cached, answer, thoughts = counts
    output = answer + thoughts
    return {
        "prompt_tokens": prompt + tool_prompt,
        "completion_tokens": output,
        "total_tokens": prompt + tool_prompt + output,
        "prompt_tokens_details": {"cached_tokens": cached},
        "completion_tokens_details": {"reasoning_tokens": thoughts},
    }


def chat_reply(document: Json, created: int, upstream_model: str = "gemini") -> Json:
    """The reply. Raises KeyError, TypeError or ValueError for a document that is none."""
    reply_id = document.get("responseId") or f"gemini-{created}"
    return {
        "id": reply_id,
        "object": "chat.completion",
        "created": created,
        "model": document.get("modelVersion") or upstream_model,
        "choices": [_choice(candidate, place, reply_id) for place, candidate in enumerate(_candidates(document))],
        "usage": usage_of(document.get("usageMetadata")),
    }


def _candidates(document: Json) -> list[Json]:
    """The candidates; a blocked prompt is one that says nothing."""
    found: list[Json] = document.get("candidates") or []
    if not found and (document.get("promptFeedback") or {}).get("blockReason"):
        return [{"content": {"parts": []}, "finishReason": "SAFETY"}]
    return found


def _choice(candidate: Json, place: int, reply_id: str) -> Json:
    index = candidate.get("index", place)
    texts: list[str] = []
    reasoning: list[str] = []
    calls: list[Json] = []
    for part in (candidate.get("content") or {}).get("parts") or []:
        if "functionCall" in part:
            calls.append(_call(part, f"call_{reply_id}_{index}_{len(calls)}"))
        elif part.get("thought"):
            reasoning.append(part["text"])
        elif "text" in part:
            texts.append(part["text"])
    message: Json = {"role": "assistant", "content": "".join(texts) if texts or not calls else None}
    if reasoning:
        message["reasoning_content"] = "".join(reasoning)
    if calls:
        message["tool_calls"] = calls
    finish = finish_of(candidate["finishReason"], calls=bool(calls))
    return {"index": index, "message": message, "finish_reason": finish, "logprobs": None}


def _call(part: Json, call_id: str) -> Json:
    function = part["functionCall"]
    arguments = orjson.dumps(function.get("args") or {}).decode()
    call: Json = {
        "id": function.get("id") or call_id,
        "type": "function",
        "function": {"name": function["name"], "arguments": arguments},
    }
    if part.get("thoughtSignature"):
        call["extra_content"] = {"google": {"thought_signature": part["thoughtSignature"]}}
    return call


def finish_of(reason: Any, *, calls: bool) -> str:
    """The finish reason that Gemini's stands for. Raises ValueError for an unfinished candidate."""
    if not isinstance(reason, str):
        raise ValueError("a candidate without a finish reason")  # noqa: TRY004 - the caller takes it for a malformed reply
    if reason in FILTERED:
        return "content_filter"
    return "tool_calls" if calls and reason == "STOP" else FINISH.get(reason, "stop")


class ContentEvents:
    """Reads the events of one streamed answer: each a whole document with what is new. It ends with its last finish reason."""

    def __init__(self, created: int, choices: int) -> None:
        self.ended = False
        self.tokens_told = 0
        self.prompt_told: Usage | None = None
        self._choices = choices
        self._finished: set[int] = set()
        self._calls: dict[int, int] = {}
        self._begun: set[int] = set()
        self._stamp: Json = {"object": "chat.completion.chunk", "created": created, "id": f"gemini-{created}"}

    def chunks(self, event: Json) -> Iterable[Json]:
        """The chunks that the event stands for."""
        if "error" in event:
            return [{"error": {"message": str(event["error"].get("message", "upstream error"))}}]
        self._stamp |= {"id": event.get("responseId") or self._stamp["id"], "model": event.get("modelVersion") or "gemini"}
        found: list[Json] = []
        for place, candidate in enumerate(_candidates(event)):
            found += self._candidate(candidate, candidate.get("index", place))
        usage = usage_of(event.get("usageMetadata"))
        if usage is not None:
            self.tokens_told = usage["completion_tokens"]
            self.prompt_told = prompt_of(usage)
        if len(self._finished) >= self._choices and usage is not None:
            self.ended = True
            found.append({**self._stamp, "choices": [], "usage": usage})
        return found

    def _candidate(self, candidate: Json, index: int) -> list[Json]:
        found: list[Json] = []
        if index not in self._begun:
            self._begun.add(index)
            found.append(self._chunk(index, {"role": "assistant", "content": ""}))
        for part in (candidate.get("content") or {}).get("parts") or []:
            found += self._part(part, index)
        reason = candidate.get("finishReason")
        if reason is not None:
            self._finished.add(index)
            found.append(self._chunk(index, {}, finish_of(reason, calls=index in self._calls)))
        return found

    def _part(self, part: Json, index: int) -> list[Json]:
        if "functionCall" in part:
            place = self._calls.get(index, 0)
            self._calls[index] = place + 1
            call = _call(part, f"call_{self._stamp['id']}_{index}_{place}")
            return [self._chunk(index, {"tool_calls": [{"index": place, **call}]})]
        if not part.get("text"):
            return []
        return [self._chunk(index, {"reasoning_content" if part.get("thought") else "content": part["text"]})]

    def _chunk(self, index: int, delta: Json, finish: str | None = None) -> Json:
        return {**self._stamp, "choices": [{"index": index, "delta": delta, "finish_reason": finish}]}


def retry_delay_s(body: bytes) -> float | None:
    """Seconds that an error asks to wait for: Google says it in the body (`RetryInfo`), not in a header."""
    try:
        document = orjson.loads(body)
        details = (document[0] if isinstance(document, list) else document)["error"]["details"]
        delays = [each["retryDelay"] for each in details if "retryDelay" in each]
        found = _DELAY.fullmatch(delays[0])
    except (orjson.JSONDecodeError, KeyError, TypeError, IndexError):
        return None
    return None if found is None else float(found[1])


def error_of(body: bytes) -> Json | None:
    """An error reply in OpenAI's shape, None where it is not in Google's."""
    try:
        document = orjson.loads(body)
        document = document[0] if isinstance(document, list) else document
        error = document["error"]
        status, message = error["status"], error["message"]
    except (orjson.JSONDecodeError, KeyError, TypeError, IndexError):
        return None
    told = {"message": message, "type": status, "param": None, "code": ERROR_CODES.get(status)}
    return {"error": told, "usage": usage_of(document.get("usageMetadata"))}
