"""A chat completion request as OpenAI's responses. Pure.

A message stays a message; the calls of an assistant's turn and their results become items of their own.
"""

from __future__ import annotations

from typing import Any

from services.router.dialects.chat_parts import Json, functions_of, part_text, said, schema_wish, text_of, tool_wish
from services.router.dialects.dialect import no_meaning
from services.router.dialects.openai import RUN_FIELD
from services.router.dialects.thinking_blocks import is_ours

LABELS = ("user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention")
ROLES = frozenset({"system", "developer", "user"})
LOGPROBS = "message.output_text.logprobs"


def translated(body: Json, upstream_model: str, output_cap: int, *, stream: bool) -> Json:
    """The request. Raises :class:`UpstreamError` (400) naming the parameter that has no meaning there."""
    request: Json = {
        "model": upstream_model,
        "input": _items(body["messages"]),
        "max_output_tokens": output_cap,
        "store": False,
    }
    if stream:
        request["stream"] = True
    request |= {name: body[name] for name in LABELS if body.get(name) is not None}
    for name, value in said(body):
        _take(request, name, value)
    return request


def native(body: Json, upstream_model: str, output_cap: int) -> Json:
    """The client's own request. Nothing is stored at the provider: nobody could read or delete it there."""
    request = {**body, "model": upstream_model, "max_output_tokens": output_cap, "store": False}
    if isinstance(body.get("input"), list):
        request["input"] = [_own(item) for item in body["input"] if not is_ours(item.get("encrypted_content"))]
    metadata = body.get("metadata")
    if isinstance(metadata, dict) and RUN_FIELD in metadata:
        request["metadata"] = {name: value for name, value in metadata.items() if name != RUN_FIELD}
    return request


def _own(item: Json) -> Json:
    """An item without what another provider wrote into it."""
    return {name: value for name, value in item.items() if name != "extra_content"} if "extra_content" in item else item


def _take(request: Json, name: str, value: Any) -> None:
    if name in _SAME:
        request[name] = value
    elif name in _TAKERS:
        _TAKERS[name](request, value)
    elif value != _NEUTRAL.get(name, ...):
        raise no_meaning(name, f"{name} has no meaning for the provider of this route.")


def _tools(request: Json, value: Any) -> None:
    tools = []
    for function in functions_of(value):
        tool: Json = {
            "type": "function",
            "name": function["name"],
            "parameters": function.get("parameters") or {"type": "object", "properties": {}},
            "strict": bool(function.get("strict")),
        }
        if function.get("description"):
            tool["description"] = function["description"]
        tools.append(tool)
    if tools:
        request["tools"] = tools


def _tool_choice(request: Json, value: Any) -> None:
    allowed = value.get("allowed_tools") if isinstance(value, dict) and value.get("type") == "allowed_tools" else None
    if isinstance(allowed, dict):
        names = [{"type": "function", "name": each["name"]} for each in functions_of(allowed.get("tools"), "tool_choice.tools")]
        request["tool_choice"] = {"type": "allowed_tools", "mode": allowed.get("mode"), "tools": names}
        return
    wish, name = tool_wish(value)
    request["tool_choice"] = {"type": "function", "name": name} if wish == "function" else wish


def _response_format(request: Json, value: Any) -> None:
    schema = schema_wish(value)
    if schema == {}:
        _text(request)["format"] = {"type": "json_object"}
    elif schema is not None:
        wanted = {name: each for name, each in value["json_schema"].items() if each is not None}
        _text(request)["format"] = {"type": "json_schema", "name": "answer", **wanted}


def _verbosity(request: Json, value: Any) -> None:
    _text(request)["verbosity"] = value


def _text(request: Json) -> Json:
    found: Json = request.setdefault("text", {})
    return found


def _effort(request: Json, value: Any) -> None:
    request["reasoning"] = {"effort": value}


def _logprobs(request: Json, value: Any) -> None:
    if value is not False:
        request["include"] = [LOGPROBS]


_SAME = frozenset({"temperature", "top_p", "parallel_tool_calls", "top_logprobs"})
_TAKERS = {
    "tools": _tools,
    "tool_choice": _tool_choice,
    "response_format": _response_format,
    "verbosity": _verbosity,
    "reasoning_effort": _effort,
    "logprobs": _logprobs,
}
_NEUTRAL: Json = {"n": 1, "frequency_penalty": 0, "presence_penalty": 0, "logit_bias": {}, "modalities": ["text"]}
"""Values that ask for what the provider does anyway."""


def _items(messages: list[Json]) -> list[Json]:
    items: list[Json] = []
    for index, message in enumerate(messages):
        param, role = f"messages.{index}", message.get("role")
        if role in ROLES:
            items.append({"role": role, "content": _parts(message.get("content"), param)})
        elif role == "assistant":
            items += _turn(message, param)
        elif role == "tool":
            items.append(_result(message, param))
        else:
            raise no_meaning(f"{param}.role", f"The provider of this route has no role {role!r}.")
    return items


def _turn(message: Json, param: str) -> list[Json]:
    """What the assistant said, then what it called."""
    items: list[Json] = []
    content = message.get("content")
    text = text_of(content, f"{param}.content")
    if text:
        items.append({"role": "assistant", "content": text})
    for index, call in enumerate(message.get("tool_calls") or []):
        function = call.get("function")
        if not isinstance(function, dict) or not isinstance(function.get("arguments"), str):
            raise no_meaning(f"{param}.tool_calls.{index}", "This route takes only calls of functions, with their arguments.")
        items.append(
            {
                "type": "function_call",
                "call_id": call.get("id"),
                "name": function.get("name"),
                "arguments": function["arguments"],
            }
        )
    return items


def _result(message: Json, param: str) -> Json:
    content = message.get("content")
    output = content if isinstance(content, str) else _parts(content, param)
    return {"type": "function_call_output", "call_id": message.get("tool_call_id"), "output": output}


def _parts(content: Any, param: str) -> Any:
    if content is None or isinstance(content, str):
        return content or ""
    return [_part(part, f"{param}.content.{index}") for index, part in enumerate(content)]


def _part(part: Json, param: str) -> Json:
    kind = part["type"]
    if kind == "image_url":
        return _image(part, param)
    if kind == "file":
        return _file(part, param)
    return {"type": "input_text", "text": part_text(part, param)}


def _image(part: Json, param: str) -> Json:
    image = part.get("image_url")
    url = image.get("url") if isinstance(image, dict) else image
    if not isinstance(url, str) or not url:
        raise no_meaning(param, "An image part needs image_url.url.")
    detail = image.get("detail") if isinstance(image, dict) else None
    return {"type": "input_image", "image_url": url, "detail": detail or "auto"}


def _file(part: Json, param: str) -> Json:
    file = part.get("file")
    if not isinstance(file, dict) or not isinstance(file.get("file_data"), str):
        raise no_meaning(param, "This route takes files only with file_data: upload ids belong to one provider.")
    return {"type": "input_file", "filename": file.get("filename") or "document.pdf", "file_data": file["file_data"]}
