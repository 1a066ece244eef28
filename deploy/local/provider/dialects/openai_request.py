"""OpenAI's wire format, requests: what a body asks for, and the errors that OpenAI's API gives for a wrong one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from deploy.local.provider.ask import Ask, Shape, ToolCall
from deploy.local.provider.errors import RefusedError
from deploy.local.provider.phrase import TOOL_PHRASE, scripted
from deploy.local.provider.tokens import (
    CHARS_PER_TOKEN,
    Script,
    count,
    derived_output,
    prompt_tokens,
    text_hash,
)
from deploy.local.provider.toolcalls import call_of, json_of, tool_tokens

CHOICES_MAX = 128
METADATA_KEYS_MAX = 16
METADATA_VALUE_CHARS_MAX = 512

_NO_KEY = (
    "You didn't provide an API key. You need to provide your API key in an Authorization header using "
    "Bearer auth (i.e. Authorization: Bearer YOUR_KEY)."
)
_BAD_JSON = "We could not parse the JSON body of your request."


def authorize(headers: Sequence[tuple[bytes, bytes]]) -> None:
    """Raise RefusedError (401) unless there is a bearer token; which one does not matter."""
    for name, value in headers:
        if len(name) == 13 and name.lower() == b"authorization":
            if value[:7].lower() == b"bearer " and value[7:].strip():
                return
            break
    raise RefusedError(401, _NO_KEY, code="invalid_api_key")


def parse(raw: bytes) -> dict[str, Any]:
    """The body as an object, or RefusedError (400)."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise RefusedError(400, _BAD_JSON) from error
    if type(body) is not dict:
        raise RefusedError(400, _BAD_JSON)
    return body


def shape(body: dict[str, Any]) -> Shape:
    """The form of a body, however wrong the body is."""
    model = body.get("model")
    cap = body.get("max_completion_tokens", body.get("max_tokens"))
    options = body.get("stream_options")
    messages, tools, choices = body.get("messages"), body.get("tools"), body.get("n")
    return Shape(
        model if type(model) is str else None,
        tuple(body),
        cap if type(cap) is int else None,
        body.get("stream") is True,
        type(options) is dict and options.get("include_usage") is True,
        choices if type(choices) is int else 1,
        len(messages) if type(messages) is list else 0,
        len(tools) if type(tools) is list else 0,
    )


def read(body: dict[str, Any]) -> Ask:
    """Decide the reply to a body, or RefusedError (400)."""
    model = body.get("model")
    if type(model) is not str or not model:
        raise RefusedError(400, "you must provide a model parameter")
    messages = _messages(body)
    metadata = body.get("metadata")
    choices = _integer(body, "n", CHOICES_MAX) or 1
    stream, include_usage, obfuscate = _stream(body)
    text = "".join([_text(message) for message in messages])
    script = scripted(text, _metadata(metadata) if metadata else {})
    digest = text_hash(text)
    tool = _tool(body, messages, script) if body.get("tools") is not None else None
    literal = _literal(body) if tool is None else None
    derived = _visible(digest, tool, literal)
    counted = count(script, prompt_tokens(len(text), len(messages)), derived, _cap(body), choices)
    if tool is not None and counted.cut:
        tool = tool._replace(arguments=tool.arguments[: counted.visible * CHARS_PER_TOKEN])
    return Ask(
        model, counted.usage, counted.visible, digest, choices, "length" if counted.cut else "stop",
        stream, include_usage, obfuscate, tool, script.pace, literal,
    )  # fmt: skip


def _visible(digest: int, tool: ToolCall | None, literal: str | None) -> int:
    if tool is not None:
        return tool_tokens(tool)
    return derived_output(digest) if literal is None else -(-len(literal) // CHARS_PER_TOKEN)


def _literal(body: dict[str, Any]) -> str | None:
    """The JSON that a `response_format` asks for."""
    wanted = body.get("response_format")
    kind = wanted.get("type") if type(wanted) is dict else None
    if type(wanted) is not dict or kind in {"text", "json_object"}:
        return "{}" if kind == "json_object" else None
    schema = wanted.get("json_schema") if kind == "json_schema" else None
    if type(schema) is not dict or type(schema.get("name")) is not str:
        message = "Missing required parameter: 'response_format.json_schema'."
        raise RefusedError(400, message, param="response_format", code="missing_required_parameter")
    return json_of(schema.get("schema") or {})


def _wrong_type(param: str, wanted: str) -> RefusedError:
    message = f"Invalid type for '{param}': expected {wanted}."
    return RefusedError(400, message, param=param, code="invalid_type")


def _messages(body: dict[str, Any]) -> list[dict[str, Any]]:
    messages = body.get("messages")
    if messages is None:
        message = "Missing required parameter: 'messages'."
        raise RefusedError(400, message, param="messages", code="missing_required_parameter")
    if type(messages) is not list:
        raise _wrong_type("messages", "an array of objects")
    if not messages:
        message = "Invalid 'messages': empty array. Expected an array with minimum length 1."
        raise RefusedError(400, message, param="messages", code="empty_array")
    for index, message in enumerate(messages):
        if type(message) is not dict or type(message.get("role")) is not str:
            raise _wrong_type(f"messages[{index}]", "an object with a role")
    return messages


def _text(message: dict[str, Any]) -> str:
    content = message.get("content")
    if type(content) is str:
        return content
    if content is None:
        return ""
    if type(content) is not list:
        raise _wrong_type("messages.content", "a string or an array of objects")
    texts = [part.get("text") for part in content if type(part) is dict]
    return "".join([text for text in texts if type(text) is str])


def _metadata(metadata: Any) -> dict[str, str]:
    if type(metadata) is not dict:
        raise _wrong_type("metadata", "an object")
    if len(metadata) > METADATA_KEYS_MAX:
        message = f"Invalid 'metadata': too many properties. Expected at most {METADATA_KEYS_MAX}."
        raise RefusedError(400, message, param="metadata", code="object_above_max_properties")
    for key, value in metadata.items():
        if type(value) is not str:
            raise _wrong_type(f"metadata.{key}", "a string")
        if len(value) > METADATA_VALUE_CHARS_MAX:
            message = f"Invalid 'metadata.{key}': string too long."
            raise RefusedError(400, message, param=f"metadata.{key}", code="string_above_max_length")
    return metadata


def _integer(body: dict[str, Any], param: str, maximum: int | None = None) -> int | None:
    value = body.get(param)
    if value is None:
        return None
    if type(value) is not int:
        raise _wrong_type(param, "an integer")
    if value < 1:
        message = f"Invalid '{param}': integer below minimum value. Expected a value >= 1."
        raise RefusedError(400, message, param=param, code="integer_below_min_value")
    if maximum is not None and value > maximum:
        message = f"Invalid '{param}': integer above maximum value. Expected a value <= {maximum}."
        raise RefusedError(400, message, param=param, code="integer_above_max_value")
    return value


def _cap(body: dict[str, Any]) -> int | None:
    newer = _integer(body, "max_completion_tokens")
    older = _integer(body, "max_tokens")
    if newer is not None and older is not None:
        message = "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported."
        raise RefusedError(400, message, param="max_tokens")
    return older if newer is None else newer


def _stream(body: dict[str, Any]) -> tuple[bool, bool, bool]:
    """Whether to stream, with a usage chunk, with obfuscation."""
    stream = body.get("stream")
    if stream is not None and type(stream) is not bool:
        raise _wrong_type("stream", "a boolean")
    options = body.get("stream_options")
    if options is None:
        return stream is True, False, True
    if type(options) is not dict:
        raise _wrong_type("stream_options", "an object")
    if not stream:
        message = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
        raise RefusedError(400, message, param="stream_options")
    return True, options.get("include_usage") is True, options.get("include_obfuscation") is not False


def _tool(body: dict[str, Any], messages: list[dict[str, Any]], script: Script) -> ToolCall | None:
    """The call that the model makes: forced by tool_choice, or its own choice where that is free."""
    functions = _functions(body["tools"])
    choice = body.get("tool_choice")
    if type(choice) is dict:
        return _forced(choice, functions)
    if choice == "none" or not functions:
        return None
    wants = choice == "required" or _wants_tool(messages, script)
    return call_of(next(iter(functions.values()))) if wants else None


def _functions(tools: Any) -> dict[str, dict[str, Any]]:
    if type(tools) is not list:
        raise _wrong_type("tools", "an array of objects")
    functions: dict[str, dict[str, Any]] = {}
    for index, tool in enumerate(tools):
        function = tool.get("function") if type(tool) is dict else None
        if type(function) is dict and type(function.get("name")) is str:
            functions[function["name"]] = function
        elif type(tool) is not dict or tool.get("type") != "custom":
            raise _wrong_type(f"tools[{index}]", "an object with a named function")
    return functions


def _forced(choice: dict[str, Any], functions: dict[str, dict[str, Any]]) -> ToolCall | None:
    named = choice.get("function")
    name = named.get("name") if type(named) is dict else None
    if choice.get("type") == "allowed_tools":
        allowed = choice.get("allowed_tools")
        required = type(allowed) is dict and allowed.get("mode") == "required"
        name = _first_allowed(allowed) if required else None
        if not required:
            return None
    if type(name) is not str or name not in functions:
        message = f"Invalid value for 'tool_choice': function '{name}' is not among 'tools'."
        raise RefusedError(400, message, param="tool_choice", code="invalid_value")
    return call_of(functions[name])


def _first_allowed(allowed: Any) -> str | None:
    tools = allowed.get("tools")
    first = tools[0] if type(tools) is list and tools else None
    function = first.get("function") if type(first) is dict else None
    name = function.get("name") if type(function) is dict else None
    return name if type(name) is str else None


def _wants_tool(messages: list[dict[str, Any]], script: Script) -> bool:
    """A model that was given the tool's answer answers in text: otherwise an agent's loop would not end."""
    if messages[-1]["role"] == "tool":
        return False
    if script.call_tool:
        return True
    last = next((message for message in reversed(messages) if message["role"] == "user"), None)
    return last is not None and TOOL_PHRASE in _text(last).lower()
