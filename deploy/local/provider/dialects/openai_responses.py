"""OpenAI's wire format, replies: responses (plain and streamed), function calls, reasoning.

Shapes and the order of events as in the reference of the Responses API and in the official `openai` package's types
(`types/responses/response*.py`). What a request says is read in `openai_responses_request.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from deploy.local.provider import speech
from deploy.local.provider.ask import Ask, Shape, Usage
from deploy.local.provider.dialects import Events, Stamp, openai_responses_request
from deploy.local.provider.dialects.openai import ARGUMENT_PIECE_CHARS, OBFUSCATED_CHARS, OpenAI

THOUGHT_PARTS = 3
Json = dict[str, Any]


class OpenAIResponses(OpenAI):
    """The `Dialect` of `/responses`."""

    id_prefix = b"resp_"
    models_paths: tuple[bytes, ...] = ()

    def at(self, path: bytes, query: bytes) -> OpenAIResponses | None:
        """One path, whatever the query says."""
        return self if path == b"v1/responses" else None

    def shape(self, body: Json) -> Shape:
        """Form without text."""
        return openai_responses_request.shape(body)

    def read(self, body: Json) -> Ask:
        """Decide the reply."""
        return openai_responses_request.read(body)

    def plain(self, ask: Ask, stamp: Stamp) -> bytes:
        """A `response`."""
        return orjson.dumps(_response(ask, stamp, _output(ask, stamp), _status(ask)))

    def events(self, ask: Ask, stamp: Stamp) -> Events:
        """`response.created` and `response.in_progress`, each item from its first event to its last, then the end."""
        begun = {"response": _response(ask, stamp, [], "in_progress")}
        told: list[tuple[str, Json]] = [("response.created", begun), ("response.in_progress", begun)]
        output = _output(ask, stamp)
        if output and output[0]["type"] == "reasoning":
            told += _thinking(ask, output[0])
        lead = len(told)
        said: list[tuple[str, Json]] = []
        if output and output[-1]["type"] != "reasoning":
            opening, said, closing = _spoken(ask, output[-1], len(output) - 1)
            lead += len(opening)
            told += [*opening, *said, *closing]
        end = _status(ask)
        told.append((f"response.{end}", {"response": _response(ask, stamp, output, end)}))
        return Events([_event(kind, number, fields) for number, (kind, fields) in enumerate(told)], lead, len(said))


def _status(ask: Ask) -> str:
    return "incomplete" if ask.finish == "length" else "completed"


def _event(kind: str, number: int, fields: Json) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), orjson.dumps({"type": kind, "sequence_number": number, **fields}))


def _response(ask: Ask, stamp: Stamp, output: Sequence[Json], status: str) -> Json:
    ended = status != "in_progress"
    return {
        "id": stamp.reply_id, "object": "response", "created_at": stamp.created, "status": status, "background": False,
        "error": None, "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "instructions": None, "max_output_tokens": None, "metadata": {}, "model": ask.model, "output": output,
        "parallel_tool_calls": True, "previous_response_id": None, "reasoning": {"effort": None, "summary": None},
        "service_tier": "default", "store": False, "temperature": 1.0, "text": {"format": {"type": "text"}},
        "tool_choice": "auto", "tools": [], "top_p": 1.0, "truncation": "disabled",
        "usage": _usage(ask.usage) if ended else None,
    }  # fmt: skip


def _usage(usage: Usage) -> Json:
    return {
        "input_tokens": usage.prompt,
        "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": usage.cache_write},
        "output_tokens": usage.completion,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.prompt + usage.completion,
    }


def _output(ask: Ask, stamp: Stamp) -> list[Json]:
    of, items = stamp.id.decode(), []
    if ask.usage.reasoning:
        shown = ask.shows_thinking
        summary = [{"type": "summary_text", "text": speech.thought(ask)}] if shown else []
        items.append({"id": f"rs_{of}", "type": "reasoning", "summary": summary, "encrypted_content": f"gAAAA{of}"})
    if ask.tool is not None:
        items.append(_item(ask, stamp, ask.tool.arguments, _status(ask)))
    elif ask.words:
        items.append(_item(ask, stamp, speech.said(ask), _status(ask)))
    return items


def _item(ask: Ask, stamp: Stamp, said: str | None, status: str) -> Json:
    """The call or the message; None where nothing of it has been said."""
    of = stamp.id.decode()
    if ask.tool is not None:
        call = {"id": f"fc_{of}", "type": "function_call", "status": status, "call_id": f"call_{of}"}
        return {**call, "name": ask.tool.name, "arguments": said or ""}
    content = [] if said is None else [_part(said)]
    return {"id": f"msg_{of}", "type": "message", "status": status, "role": "assistant", "content": content}


def _part(text: str) -> Json:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _thinking(ask: Ask, item: Json) -> list[tuple[str, Json]]:
    """The reasoning item, with its summary where it is shown."""
    where = {"item_id": item["id"], "output_index": 0, "summary_index": 0}
    told: list[tuple[str, Json]] = [("response.output_item.added", {"output_index": 0, "item": {**item, "summary": []}})]
    if item["summary"]:
        part = {"type": "summary_text", "text": ""}
        told.append(("response.reasoning_summary_part.added", {**where, "part": part}))
        deltas = speech.thought_parts(ask, THOUGHT_PARTS)
        told += [("response.reasoning_summary_text.delta", {**where, "delta": delta}) for delta in deltas]
        told.append(("response.reasoning_summary_text.done", {**where, "text": item["summary"][0]["text"]}))
        told.append(("response.reasoning_summary_part.done", {**where, "part": item["summary"][0]}))
    return [*told, ("response.output_item.done", {"output_index": 0, "item": item})]


def _spoken(ask: Ask, item: Json, place: int) -> tuple[list[tuple[str, Json]], list[tuple[str, Json]], list[tuple[str, Json]]]:
    """The events of the call or the message: before its deltas, the deltas, after them."""
    where = {"item_id": item["id"], "output_index": place}
    closing = ("response.output_item.done", {"output_index": place, "item": item})
    if ask.tool is not None:
        added = {**item, "status": "in_progress", "arguments": ""}
        step, arguments = ARGUMENT_PIECE_CHARS, item["arguments"]
        pieces = [arguments[at : at + step] for at in range(0, len(arguments), step)]
        deltas = [("response.function_call_arguments.delta", _padded(ask, {**where, "delta": piece})) for piece in pieces]
        done = ("response.function_call_arguments.done", {**where, "name": item["name"], "arguments": arguments})
        return [("response.output_item.added", {"output_index": place, "item": added})], deltas, [done, closing]
    where["content_index"] = 0
    added = {**item, "status": "in_progress", "content": []}
    opening = [
        ("response.output_item.added", {"output_index": place, "item": added}),
        ("response.content_part.added", {**where, "part": _part("")}),
    ]
    texts = speech.parts(ask, ask.words)
    deltas = [("response.output_text.delta", _padded(ask, {**where, "delta": text, "logprobs": []})) for text in texts]
    text = item["content"][0]["text"]
    done = ("response.output_text.done", {**where, "text": text, "logprobs": []})
    return opening, deltas, [done, ("response.content_part.done", {**where, "part": item["content"][0]}), closing]


def _padded(ask: Ask, fields: Json) -> Json:
    """Padding, so that an event's size does not tell the token's length."""
    if not ask.obfuscate:
        return fields
    return {**fields, "obfuscation": "x" * (OBFUSCATED_CHARS - len(str(fields["delta"])) % OBFUSCATED_CHARS)}
