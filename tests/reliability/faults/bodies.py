"""Request bodies that no client should send: good ones, bent in structure or in bytes. The same for the same seed."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from random import Random
from typing import Any

import orjson

PROMPT = "hello " * 20
TOOL_SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CHAT: dict[str, Any] = {
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": PROMPT}]},
        {"role": "assistant", "content": "Yes."},
        {"role": "user", "content": PROMPT},
    ],
    "max_tokens": 20,
    "temperature": 0.5,
    "n": 1,
    "stop": ["x"],
    "tools": [{"type": "function", "function": {"name": "weather", "parameters": TOOL_SCHEMA}}],
    "stream": False,
    "metadata": {"sim_output_tokens": "9"},
    "response_format": {"type": "text"},
}
MESSAGES: dict[str, Any] = {
    "system": "Be brief.",
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": PROMPT}]},
        {"role": "assistant", "content": "Yes."},
        {"role": "user", "content": PROMPT},
    ],
    "max_tokens": 20,
    "temperature": 0.5,
    "stop_sequences": ["x"],
    "tools": [{"name": "weather", "input_schema": TOOL_SCHEMA}],
    "tool_choice": {"type": "auto"},
    "stream": False,
}
RESPONSES: dict[str, Any] = {
    "instructions": "Be brief.",
    "input": [
        {"role": "user", "content": [{"type": "input_text", "text": PROMPT}]},
        {"role": "assistant", "content": "Yes."},
        {"role": "user", "content": PROMPT},
    ],
    "max_output_tokens": 20,
    "temperature": 0.5,
    "tools": [{"type": "function", "name": "weather", "parameters": TOOL_SCHEMA}],
    "store": False,
    "stream": False,
}
EMBEDDINGS: dict[str, Any] = {"input": [PROMPT, "x"], "encoding_format": "float", "dimensions": 8, "user": "u"}
APIS: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": CHAT,
    "/v1/messages": MESSAGES,
    "/v1/responses": RESPONSES,
    "/v1/embeddings": EMBEDDINGS,
}
"""Every client API that is fuzzed, with a body that it takes."""
CHATTING = tuple(api for api in APIS if api != "/v1/embeddings")
"""Those that any dialect's upstream answers."""
MODELS = ("gpt-4o-mini", "gpt-4o", "claude-haiku-4-5", "gemini-2.5-flash", "deepseek-chat")


def deep(levels: int) -> Any:
    """An object of so many levels."""
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return value


JUNK: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 0.5, -0.0, 1e308, 2**31, 2**53 + 1, 2**63 - 1, -(2**63), "", "x", "\0", "\u202e", "\ufffd",
    "é" * 50, "a" * 20_000, "true", "1", "system", "tool", "function", "image_url", "null", [], [[]], {}, {"": ""}, [None],
    [{}], ["x"] * 100, {"type": "text"}, {"type": "image_url", "image_url": {"url": "http://127.0.0.1/x"}},
    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}, {"role": "user", "content": "hi"},
    {"type": "tool_use", "id": "x", "name": "n", "input": {}}, {"type": "input_file", "file_id": "f"}, deep(40),
)  # fmt: skip
NAMES = (
    "model", "stream", "stream_options", "n", "max_tokens", "max_completion_tokens", "max_output_tokens", "tools",
    "tool_choice", "functions", "metadata", "logprobs", "top_p", "seed", "user", "modalities", "audio", "prediction",
    "service_tier", "store", "thinking", "reasoning", "previous_response_id", "truncation", "include", "text", "prompt",
    "input", "role", "content", "type", "name", "tool_calls", "tool_call_id", "cache_control", "__proto__", "id",
    "web_search_options", "provider", "\0",
)  # fmt: skip
RAW: tuple[bytes, ...] = (
    b"", b" ", b"{", b"[]", b"null", b"1", b'"x"', b"{}", b"[" * 5_000, b'{"a":' * 3_000, b"\xff\xfe", b'{"model":"\xff"}',
    b'{"model":NaN}', b'{"model":"gpt-4o-mini","messages":[1e999]}', b'{"model":"\\ud800"}', b"\xef\xbb\xbf{}",
)  # fmt: skip


def body(draw: Random, api: str) -> bytes:
    """A fuzzed body for the API."""
    kind = draw.random()
    if kind < 0.04:
        return draw.choice(RAW)
    chats = api in CHATTING
    document = {"model": draw.choice(MODELS if chats else ("text-embedding-3-small",)), **deepcopy(APIS[api])}
    if chats and draw.random() < 0.3:
        document["stream"] = True
    for _ in range(draw.choice((0, 1, 1, 1, 2, 3, 6))):
        _bent(draw, document)
    written = orjson.dumps(document)
    return _flipped(draw, written) if kind < 0.16 else written


def _bent(draw: Random, document: dict[str, Any]) -> None:
    """Change one place of the document, any depth."""
    value: Any = document
    for _ in range(draw.randint(0, 4)):
        held = value.values() if isinstance(value, dict) else value
        inner = [each for each in held if isinstance(each, dict | list) and each]
        if not inner:
            break
        value = draw.choice(inner)
    draw.choice(BENDS)(draw, value)


def _replaced(draw: Random, value: Any) -> None:
    value[_key(draw, value)] = deepcopy(draw.choice(JUNK))


def _dropped(draw: Random, value: Any) -> None:
    del value[_key(draw, value)]


def _added(draw: Random, value: Any) -> None:
    if isinstance(value, dict):
        value[draw.choice(NAMES)] = deepcopy(draw.choice(JUNK))
    else:
        value.insert(draw.randint(0, len(value)), deepcopy(draw.choice(JUNK)))


def _doubled(draw: Random, value: Any) -> None:
    if isinstance(value, list):
        value.extend(deepcopy(value) * draw.choice((1, 1, 1, 30)))


def _swapped(draw: Random, value: Any) -> None:
    one, other = _key(draw, value), _key(draw, value)
    value[one], value[other] = value[other], value[one]


BENDS: tuple[Callable[[Random, Any], None], ...] = (
    _replaced,
    _replaced,
    _replaced,
    _dropped,
    _added,
    _added,
    _doubled,
    _swapped,
)


def _key(draw: Random, value: Any) -> Any:
    return draw.choice(list(value)) if isinstance(value, dict) else draw.randrange(len(value))


def _flipped(draw: Random, written: bytes) -> bytes:
    """Bytes that are cut, doubled, or another."""
    at = draw.randrange(len(written))
    match draw.randrange(4):
        case 0:
            return written[:at]
        case 1:
            return written[:at] + written[at - 20 : at] + written[at:]
        case 2:
            return written[:at] + draw.randbytes(1) + written[at + 1 :]
        case _:
            return written[:at] + draw.choice((b'"', b"}", b",", b"\n", b"\\", b"0")) + written[at:]
