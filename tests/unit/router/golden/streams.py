"""One streamed answer, as each provider's documentation shows it: a thought, a text, a call, and counts of every class."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]
NAME = {"name": "weather", "arguments": ""}


def _chunk(delta: Json, finish: str | None = None) -> Json:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 5, "model": "gpt-x", "choices": [choice]}


def _delta(index: int, **delta: Any) -> Json:
    return {"type": "content_block_delta", "index": index, "delta": delta}


def _block(index: int, **block: Any) -> Json:
    return {"type": "content_block_start", "index": index, "content_block": block}


def _generated(parts: list[Json], finish: str | None = None, **usage: int) -> Json:
    candidate: Json = {"content": {"role": "model", "parts": parts}, "index": 0}
    if finish is not None:
        candidate["finishReason"] = finish
    counts = {"promptTokenCount": 20, "cachedContentTokenCount": 12, **usage}
    return {"candidates": [candidate], "usageMetadata": counts, "modelVersion": "gemini-x", "responseId": "r1"}


_CREATED: Json = {
    "id": "resp_1", "object": "response", "created_at": 5, "status": "in_progress", "model": "gpt-x", "output": [],
    "usage": None,
}  # fmt: skip
_CALL: Json = {"id": "fc_1", "type": "function_call", "call_id": "call_1", "name": "weather", "arguments": '{"city":"Bonn"}'}
_PART: Json = {"type": "output_text", "text": "Bonn.", "annotations": [], "logprobs": []}
_SAID: Json = {"id": "msg_1", "type": "message", "status": "completed", "role": "assistant", "content": [_PART]}
_TOLD: Json = {"id": "rs_1", "type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]}
_COUNTS: Json = {
    "input_tokens": 20,
    "input_tokens_details": {"cached_tokens": 12, "cache_write_tokens": 0},
    "output_tokens": 8,
    "output_tokens_details": {"reasoning_tokens": 5},
    "total_tokens": 28,
}
_THOUGHT, _TEXT = (
    {"item_id": "rs_1", "output_index": 0, "summary_index": 0},
    {"item_id": "msg_1", "output_index": 1, "content_index": 0},
)
_ARGUMENTS = {"item_id": "fc_1", "output_index": 2}

STREAMS: dict[str, list[Json]] = {
    "openai": [
        _chunk({"role": "assistant", "content": ""}),
        _chunk({"reasoning_content": "hm"}),
        _chunk({"content": "Bo"}),
        _chunk({"content": "nn."}),
        _chunk({"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": NAME}]}),
        _chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"city":"Bonn"}'}}]}),
        _chunk({}, "tool_calls"),
        {
            **_chunk({}),
            "choices": [],
            "usage": {
                "prompt_tokens": 20,
                "completion_tokens": 8,
                "total_tokens": 28,
                "prompt_tokens_details": {"cached_tokens": 12},
                "completion_tokens_details": {"reasoning_tokens": 5},
            },
        },
    ],
    "openai-responses": [
        {"type": "response.created", "response": _CREATED},
        {"type": "response.in_progress", "response": _CREATED},
        {"type": "response.output_item.added", "output_index": 0, "item": {**_TOLD, "summary": []}},
        {"type": "response.reasoning_summary_part.added", **_THOUGHT, "part": {"type": "summary_text", "text": ""}},
        {"type": "response.reasoning_summary_text.delta", **_THOUGHT, "delta": "hm"},
        {"type": "response.reasoning_summary_text.done", **_THOUGHT, "text": "hm"},
        {"type": "response.output_item.done", "output_index": 0, "item": _TOLD},
        {"type": "response.output_item.added", "output_index": 1, "item": {**_SAID, "status": "in_progress", "content": []}},
        {"type": "response.content_part.added", **_TEXT, "part": {**_PART, "text": ""}},
        {"type": "response.output_text.delta", **_TEXT, "delta": "Bo", "logprobs": []},
        {"type": "response.output_text.delta", **_TEXT, "delta": "nn.", "logprobs": []},
        {"type": "response.output_text.done", **_TEXT, "text": "Bonn.", "logprobs": []},
        {"type": "response.content_part.done", **_TEXT, "part": _PART},
        {"type": "response.output_item.done", "output_index": 1, "item": _SAID},
        {"type": "response.output_item.added", "output_index": 2, "item": {**_CALL, "arguments": ""}},
        {"type": "response.function_call_arguments.delta", **_ARGUMENTS, "delta": '{"city":"Bonn"}'},
        {"type": "response.function_call_arguments.done", **_ARGUMENTS, "arguments": '{"city":"Bonn"}'},
        {"type": "response.output_item.done", "output_index": 2, "item": _CALL},
        {
            "type": "response.completed",
            "response": {**_CREATED, "status": "completed", "output": [_TOLD, _SAID, _CALL], "usage": _COUNTS},
        },
    ],
    "anthropic": [
        {
            "type": "message_start",
            "message": {
                "id": "msg_1",
                "type": "message",
                "role": "assistant",
                "model": "claude-x",
                "content": [],
                "stop_reason": None,
                "usage": {
                    "input_tokens": 8,
                    "cache_read_input_tokens": 12,
                    "cache_creation_input_tokens": 0,
                    "output_tokens": 1,
                },
            },
        },
        _block(0, type="thinking", thinking="", signature=""),
        _delta(0, type="thinking_delta", thinking="hm"),
        _delta(0, type="signature_delta", signature="s"),
        {"type": "content_block_stop", "index": 0},
        _block(1, type="text", text=""),
        _delta(1, type="text_delta", text="Bo"),
        _delta(1, type="text_delta", text="nn."),
        {"type": "content_block_stop", "index": 1},
        _block(2, type="tool_use", id="call_1", name="weather", input={}),
        _delta(2, type="input_json_delta", partial_json=""),
        _delta(2, type="input_json_delta", partial_json='{"city":"Bonn"}'),
        {"type": "content_block_stop", "index": 2},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "tool_use", "stop_sequence": None},
            "usage": {"output_tokens": 8, "output_tokens_details": {"thinking_tokens": 5}},
        },
        {"type": "message_stop"},
    ],
    "gemini": [
        _generated([{"text": "hm", "thought": True}], thoughtsTokenCount=5),
        _generated([{"text": "Bo"}], thoughtsTokenCount=5, candidatesTokenCount=1),
        _generated([{"text": "nn."}], thoughtsTokenCount=5, candidatesTokenCount=2),
        _generated(
            [{"functionCall": {"name": "weather", "args": {"city": "Bonn"}}, "thoughtSignature": "c2ln"}],
            "STOP",
            thoughtsTokenCount=5,
            candidatesTokenCount=3,
        ),
    ],
}
