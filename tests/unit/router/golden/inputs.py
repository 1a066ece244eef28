"""What the golden files begin with: requests as clients write them, and answers as providers' documentation shows them."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]
PNG = "iVBORw0KGgo="
SCHEMA: Json = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
CALL: Json = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Bonn"}'}}

REQUESTS: dict[str, Json] = {
    "chat.completions, a tool's loop with an image": {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Where is this?"},
                    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
                ],
            },
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
        ],
        "tools": [{"type": "function", "function": {"name": "weather", "description": "d", "parameters": SCHEMA}}],
        "tool_choice": "auto",
        "temperature": 0.5,
    },
    "chat.completions, structured and thoughtful": {
        "model": "m",
        "messages": [{"role": "user", "content": "Bonn?"}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "place", "schema": SCHEMA, "strict": True}},
        "reasoning_effort": "low",
        "stream": True,
        "user": "u",
    },
    "messages, a tool's loop with an image": {
        "model": "m",
        "max_tokens": 100,
        "system": "Be brief.",
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Where is this?", "cache_control": {"type": "ephemeral"}},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
                ],
            },
            {
                "role": "assistant",
                "content": [{"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Bonn"}}],
            },
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "sunny"}]},
        ],
        "tools": [{"name": "weather", "description": "d", "input_schema": SCHEMA}],
        "tool_choice": {"type": "auto"},
    },
    "messages, structured and thoughtful": {
        "model": "m",
        "max_tokens": 4000,
        "messages": [{"role": "user", "content": "Bonn?"}],
        "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}},
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "stream": True,
    },
    "responses, a tool's loop with an image": {
        "model": "m",
        "instructions": "Be brief.",
        "input": [
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "Where is this?"},
                    {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}", "detail": "auto"},
                ],
            },
            {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": '{"city":"Bonn"}'},
            {"type": "function_call_output", "call_id": "call_1", "output": "sunny"},
        ],
        "tools": [{"type": "function", "name": "weather", "description": "d", "parameters": SCHEMA, "strict": True}],
    },
    "responses, structured and thoughtful": {
        "model": "m",
        "input": "Bonn?",
        "text": {"format": {"type": "json_schema", "name": "place", "schema": SCHEMA, "strict": True}},
        "reasoning": {"effort": "low", "summary": "auto"},
        "stream": True,
    },
}


def _chat(message: Json, finish: str, **usage: Any) -> Json:
    counts = {"prompt_tokens": 20, "completion_tokens": 8, "total_tokens": 28, **usage}
    choice = {"index": 0, "message": {"role": "assistant", **message}, "logprobs": None, "finish_reason": finish}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 5,
        "model": "gpt-x",
        "choices": [choice],
        "usage": counts,
    }


def _response(output: list[Json], status: str = "completed", reason: str | None = None, **usage: Any) -> Json:
    details = {"input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}}
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 5,
        "status": status,
        "error": None,
        "incomplete_details": None if reason is None else {"reason": reason},
        "model": "gpt-x",
        "output": output,
        "usage": {"input_tokens": 20, "output_tokens": 8, "total_tokens": 28, **details, **usage},
    }


def _said(text: str) -> Json:
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    return {"id": "msg_1", "type": "message", "status": "completed", "role": "assistant", "content": [part]}


def _message(content: list[Json], stop: str, **usage: int) -> Json:
    counts = {"input_tokens": 20, "output_tokens": 8, **usage}
    told = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x", "content": content}
    return {**told, "stop_reason": stop, "stop_sequence": None, "usage": counts}


def _generated(parts: list[Json], finish: str, **usage: int) -> Json:
    counts = {"promptTokenCount": 20, "candidatesTokenCount": 8, **usage}
    candidate = {"content": {"role": "model", "parts": parts}, "finishReason": finish, "index": 0}
    return {"candidates": [candidate], "usageMetadata": counts, "modelVersion": "gemini-x", "responseId": "r1"}


REPLIES: dict[str, dict[str, Json]] = {
    "openai": {
        "text": _chat({"content": "Bonn."}, "stop"),
        "a call": _chat({"content": None, "tool_calls": [CALL]}, "tool_calls"),
        "reasoning and caches": _chat(
            {"content": "Bonn.", "reasoning_content": "hm"},
            "stop",
            prompt_tokens_details={"cached_tokens": 12, "cache_write_tokens": 4},
            completion_tokens_details={"reasoning_tokens": 5},
        ),
        "cut": _chat({"content": "Bo"}, "length"),
        "refused": _chat({"content": None, "refusal": "No."}, "content_filter"),
    },
    "openai-responses": {
        "text": _response([_said("Bonn.")]),
        "a call": _response(
            [
                {
                    "id": "fc_1",
                    "type": "function_call",
                    "status": "completed",
                    "call_id": "call_1",
                    "name": "weather",
                    "arguments": '{"city":"Bonn"}',
                }
            ]
        ),
        "reasoning and caches": _response(
            [
                {
                    "id": "rs_1",
                    "type": "reasoning",
                    "summary": [{"type": "summary_text", "text": "hm"}],
                    "encrypted_content": "gAAAA",
                },
                _said("Bonn."),
            ],
            input_tokens_details={"cached_tokens": 12, "cache_write_tokens": 4},
            output_tokens_details={"reasoning_tokens": 5},
        ),
        "cut": _response([_said("Bo")], "incomplete", "max_output_tokens"),
        "refused": _response(
            [{**_said(""), "content": [{"type": "refusal", "refusal": "No."}]}], "incomplete", "content_filter"
        ),
    },
    "anthropic": {
        "text": _message([{"type": "text", "text": "Bonn."}], "end_turn"),
        "a call": _message([{"type": "tool_use", "id": "call_1", "name": "weather", "input": {"city": "Bonn"}}], "tool_use"),
        "reasoning and caches": {
            **_message(
                [{"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "text", "text": "Bonn."}], "end_turn"
            ),
            "usage": {
                "input_tokens": 4,
                "cache_read_input_tokens": 12,
                "cache_creation_input_tokens": 4,
                "output_tokens": 8,
                "output_tokens_details": {"thinking_tokens": 5},
            },
        },
        "cut": _message([{"type": "text", "text": "Bo"}], "max_tokens"),
        "refused": _message([{"type": "text", "text": "No."}], "refusal"),
    },
    "gemini": {
        "text": _generated([{"text": "Bonn."}], "STOP"),
        "a call": _generated(
            [{"functionCall": {"name": "weather", "args": {"city": "Bonn"}}, "thoughtSignature": "c2ln"}], "STOP"
        ),
        "reasoning and caches": _generated(
            [{"text": "hm", "thought": True}, {"text": "Bonn."}],
            "STOP",
            candidatesTokenCount=3,
            thoughtsTokenCount=5,
            cachedContentTokenCount=12,
        ),
        "cut": _generated([{"text": "Bo"}], "MAX_TOKENS"),
        "refused": _generated([], "SAFETY"),
    },
}
ERRORS: dict[str, list[tuple[int, Json]]] = {
    "openai": [
        (400, {"error": {"message": "Bad.", "type": "invalid_request_error", "param": "n", "code": "invalid_value"}}),
        (400, {"error": {"message": "Filtered.", "type": "invalid_request_error", "param": None, "code": "content_filter"}}),
        (401, {"error": {"message": "No key.", "type": "invalid_request_error", "param": None, "code": "invalid_api_key"}}),
        (429, {"error": {"message": "Slow.", "type": "requests", "param": None, "code": "rate_limit_exceeded"}}),
        (429, {"error": {"message": "Pay.", "type": "insufficient_quota", "param": None, "code": "insufficient_quota"}}),
        (500, {"error": {"message": "Oh.", "type": "server_error", "param": None, "code": None}}),
    ],
    "anthropic": [
        (400, {"type": "error", "error": {"type": "invalid_request_error", "message": "Bad."}}),
        (401, {"type": "error", "error": {"type": "authentication_error", "message": "No key."}}),
        (429, {"type": "error", "error": {"type": "rate_limit_error", "message": "Slow."}}),
        (529, {"type": "error", "error": {"type": "overloaded_error", "message": "Full."}}),
    ],
    "gemini": [
        (400, {"error": {"code": 400, "message": "Bad.", "status": "INVALID_ARGUMENT"}}),
        (403, {"error": {"code": 403, "message": "No.", "status": "PERMISSION_DENIED"}}),
        (429, {"error": {"code": 429, "message": "Slow.", "status": "RESOURCE_EXHAUSTED"}}),
        (503, {"error": {"code": 503, "message": "Full.", "status": "UNAVAILABLE"}}),
    ],
}
ERRORS["openai-responses"] = ERRORS["openai"]
