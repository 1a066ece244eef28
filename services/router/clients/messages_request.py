"""A request of Anthropic's messages as a chat completion request. Pure.

What chat completions cannot say is listed in `untranslated`: a provider that speaks messages takes it as it is, every other
route refuses it by its name.
"""

from __future__ import annotations

from typing import Any

import orjson

from services.router.errors import RefusalError

Json = dict[str, Any]
EFFORTS = ((2048, "low"), (8192, "medium"))
"""The reasoning effort that a thinking budget up to so many tokens stands for; more is "high"."""
CHOICES = {"auto": "auto", "any": "required", "none": "none"}
PLAIN = {
    "temperature": "temperature",
    "top_p": "top_p",
    "stop_sequences": "stop",
    "stream": "stream",
    "max_tokens": "max_tokens",
}
KNOWN = frozenset(
    {
        *PLAIN,
        *("model", "messages", "system", "tools", "tool_choice", "metadata", "thinking", "output_config", "service_tier"),
    }
)


def chat_request(body: bytes) -> tuple[Json, Json, tuple[str, ...]]:
    """The client's object, the chat completion request, and the parameters that the latter lacks. Raises RefusalError."""
    try:
        native = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise RefusalError(400, "invalid_json", "The body is not valid JSON.") from None
    if not isinstance(native, dict):
        raise RefusalError(400, "invalid_json", "The body must be a JSON object.")
    chat: Json = {"model": native.get("model"), "messages": _messages(native)}
    chat |= {name: native[theirs] for theirs, name in PLAIN.items() if native.get(theirs) is not None}
    if chat.get("max_tokens") is None:
        raise invalid("max_tokens", "max_tokens is required.")
    if native.get("tools"):
        chat["tools"] = [_tool(tool, f"tools.{index}") for index, tool in enumerate(_listed(native["tools"], "tools"))]
    if native.get("tool_choice") is not None:
        _choose(chat, native["tool_choice"])
    _thinking(chat, native.get("thinking"))
    untranslated = [name for name, value in native.items() if name not in KNOWN and value is not None]
    untranslated += _output(chat, native.get("output_config"))
    _labels(chat, native)
    return native, chat, tuple(untranslated)


def invalid(param: str, message: str, code: str = "invalid_value") -> RefusalError:
    """A refusal that names the parameter."""
    return RefusalError(400, code, message, param=param)


def _labels(chat: Json, native: Json) -> None:
    metadata = native.get("metadata")
    if isinstance(metadata, dict) and isinstance(metadata.get("user_id"), str):
        chat["user"] = metadata["user_id"]
    if native.get("service_tier") not in (None, "auto", "standard_only"):
        raise invalid("service_tier", "Only the default service tier is priced here.", "unsupported_parameter")


def _messages(native: Json) -> list[Json]:
    messages: list[Json] = []
    if not native.get("messages"):
        raise invalid("messages", "messages must be a list with at least one message.")
    system = native.get("system")
    if system:
        messages.append({"role": "system", "content": system if isinstance(system, str) else _texts(system, "system")})
    for index, message in enumerate(_listed(native.get("messages"), "messages")):
        param = f"messages.{index}"
        role = message.get("role")
        if not isinstance(role, str) or role not in {"user", "assistant", "system"}:
            raise invalid(f"{param}.role", "role must be user or assistant.")
        content = message.get("content")
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else _listed(content, f"{param}.content")
        messages += _said(blocks, param) if role == "assistant" else _asked(role, blocks, param)
    return messages


def _asked(role: str, blocks: list[Json], param: str) -> list[Json]:
    """The tool results of a turn first, each a message of its own, then what else the user said."""
    results, parts = [], []
    for index, block in enumerate(blocks):
        where = f"{param}.content.{index}"
        if block.get("type") == "tool_result":
            results.append({"role": "tool", "tool_call_id": block.get("tool_use_id"), "content": _result(block, where)})
        else:
            parts.append(_part(block, where))
    return results + ([{"role": role, "content": parts}] if parts else [])


def _said(blocks: list[Json], param: str) -> list[Json]:
    message: Json = {"role": "assistant"}
    parts, calls, thoughts = [], [], []
    for index, block in enumerate(blocks):
        kind = str(block.get("type"))
        if kind == "tool_use":
            calls.append(_call(block, f"{param}.content.{index}"))
        elif kind in {"thinking", "redacted_thinking"}:
            thoughts.append(block)
        else:
            parts.append(_part(block, f"{param}.content.{index}"))
    message["content"] = parts or None
    if calls:
        message["tool_calls"] = calls
    if thoughts:
        message["thinking_blocks"] = thoughts
    return [message]


def _call(block: Json, param: str) -> Json:
    try:
        arguments = orjson.dumps(block["input"]).decode()
        name = block["name"]
    except (KeyError, TypeError):
        raise invalid(param, "A tool_use block needs a name and an input.") from None
    return {"id": block.get("id"), "type": "function", "function": {"name": name, "arguments": arguments}}


def _result(block: Json, param: str) -> Any:
    content = block.get("content")
    if content is None or isinstance(content, str):
        return content or ""
    return [_part(part, param) for part in _listed(content, f"{param}.content")]


def _part(block: Json, param: str) -> Json:
    kind = block.get("type")
    if kind == "text" and isinstance(block.get("text"), str):
        part: Json = {"type": "text", "text": block["text"]}
        if block.get("cache_control") is not None:
            part["cache_control"] = block["cache_control"]
        return part
    source = block.get("source")
    if kind == "image" and isinstance(source, dict):
        return {"type": "image_url", "image_url": {"url": _address(source, param)}}
    if kind == "document" and isinstance(source, dict):
        if source.get("type") == "text":
            return {"type": "text", "text": str(source.get("data", ""))}
        if source.get("type") == "base64":
            return {
                "type": "file",
                "file": {"filename": block.get("title") or "document.pdf", "file_data": _address(source, param)},
            }
    raise invalid(param, f"A block of type {kind!r} is not supported here.", "unsupported_parameter")


def _address(source: Json, param: str) -> str:
    if source.get("type") == "url" and isinstance(source.get("url"), str):
        return str(source["url"])
    if source.get("type") == "base64" and isinstance(source.get("data"), str):
        return f"data:{source.get('media_type')};base64,{source['data']}"
    raise invalid(f"{param}.source", "A source is of type base64 or url.")


def _texts(blocks: Any, param: str) -> list[Json]:
    parts = [_part(block, f"{param}.{index}") for index, block in enumerate(_listed(blocks, param))]
    if any(part["type"] != "text" for part in parts):
        raise invalid(param, "system takes text blocks only.")
    return parts


def _tool(tool: Json, param: str) -> Json:
    if tool.get("type") not in (None, "custom"):
        message = f"The tool {tool.get('type')!r} runs at the provider and is billed apart; it is not supported here."
        raise invalid(param, message, "unsupported_parameter")
    function: Json = {"name": tool.get("name"), "parameters": tool.get("input_schema") or {"type": "object"}}
    for name in ("description", "strict"):
        if tool.get(name):
            function[name] = tool[name]
    return {"type": "function", "function": function}


def _choose(chat: Json, choice: Any) -> None:
    kind = choice.get("type") if isinstance(choice, dict) else None
    if kind == "tool":
        chat["tool_choice"] = {"type": "function", "function": {"name": choice.get("name")}}
    elif isinstance(kind, str) and kind in CHOICES:
        chat["tool_choice"] = CHOICES[kind]
    else:
        raise invalid("tool_choice", "tool_choice has a type: auto, any, tool or none.")
    if choice.get("disable_parallel_tool_use"):
        chat["parallel_tool_calls"] = False


def _thinking(chat: Json, thinking: Any) -> None:
    if not isinstance(thinking, dict) or thinking.get("type") != "enabled":
        return
    budget = thinking.get("budget_tokens")
    if type(budget) is not int or budget < 1:
        raise invalid("thinking.budget_tokens", "thinking.budget_tokens must be a whole number.")
    chat["reasoning_effort"] = next((effort for most, effort in EFFORTS if budget <= most), "high")


def _output(chat: Json, config: Any) -> list[str]:
    """What of `output_config` chat completions cannot say."""
    if not isinstance(config, dict):
        return []
    wanted = config.get("format")
    if isinstance(wanted, dict) and wanted.get("type") == "json_schema":
        if not isinstance(wanted.get("schema"), dict):
            raise invalid("output_config.format", "output_config.format of type json_schema needs a schema.")
        chat["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": wanted.get("schema")}}
    return [f"output_config.{name}" for name, value in config.items() if name != "format" and value is not None]


def _listed(value: Any, param: str) -> list[Json]:
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise invalid(param, f"{param} must be a list of objects.")
    return value
