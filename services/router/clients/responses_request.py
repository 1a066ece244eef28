"""A request of OpenAI's responses as a chat completion request. Pure.

What chat completions cannot say is listed in `untranslated`: a provider that speaks responses takes it as it is, every other
route refuses it by its name. What would be billed by other things than the tokens that a hold bounds, and what refers to
something that a provider has stored, is refused at once.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson

from services.router.ask import OUTPUT_TOKENS_MAX
from services.router.clients.responses_items import Conversation, invalid, unsupported
from services.router.errors import RefusalError

Json = dict[str, Any]
STORED = {
    "previous_response_id": "Replies are not stored here: send the earlier items in input.",
    "conversation": "Conversations are not stored here: send the earlier items in input.",
    "prompt": "Prompts stored at a provider belong to one account there: send instructions and input.",
}
"""Parameters that refer to what a provider keeps: its tokens are not in the request, so that no hold could bound them."""
UNBOUNDED = {
    "context_management": "Compaction reads the prompt once more, which no hold covers; it is not supported here.",
    "background": "A reply in the background would outlive its hold; ask for it here and wait, or use a batch.",
}
PLAIN = {
    "temperature": "temperature",
    "top_p": "top_p",
    "parallel_tool_calls": "parallel_tool_calls",
    "max_output_tokens": "max_tokens",
    "user": "user",
    "safety_identifier": "safety_identifier",
    "prompt_cache_key": "prompt_cache_key",
    "prompt_cache_retention": "prompt_cache_retention",
    "service_tier": "service_tier",
    "stream": "stream",
}
ELSEWHERE = frozenset(
    {
        *("model", "input", "instructions", "metadata", "store", "stream_options", "tools", "tool_choice", "reasoning", "text"),
        *("include", "top_logprobs", *STORED, *UNBOUNDED),
    }
)
NEUTRAL: Json = {"truncation": "disabled"}
CLIENT_TOOLS = frozenset({"custom", "local_shell", "apply_patch"})
"""Tools that the client itself runs, billed by their tokens alone; only a provider that speaks responses knows them."""
LOGPROBS = "message.output_text.logprobs"
KEPT_REASONING = "reasoning.encrypted_content"


class Parsed(NamedTuple):
    """The client's object, the chat completion request, and the parameters that the latter lacks."""

    native: Json
    chat: Json
    untranslated: tuple[str, ...]


def chat_request(body: bytes) -> Parsed:
    """The request in the body. Raises :class:`RefusalError` (400) naming the parameter at fault."""
    try:
        native = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise RefusalError(400, "invalid_json", "The body is not valid JSON.") from None
    if not isinstance(native, dict):
        raise RefusalError(400, "invalid_json", "The body must be a JSON object.")
    _refuse_state(native)
    _check_figures(native)
    conversation = Conversation()
    conversation.instruct(native.get("instructions"))
    conversation.take(native.get("input"))
    chat: Json = {"model": native.get("model"), "messages": conversation.messages}
    chat |= {name: native[theirs] for theirs, name in PLAIN.items() if native.get(theirs) is not None}
    untranslated = list(conversation.untranslated)
    for take in (_tools, _tool_choice, _reasoning, _text, _include):
        untranslated += take(chat, native)
    untranslated += [name for name, value in native.items() if _is_unknown(name, value)]
    return Parsed(native, chat, tuple(untranslated))


def _is_unknown(name: str, value: Any) -> bool:
    return name not in PLAIN and name not in ELSEWHERE and value is not None and NEUTRAL.get(name) != value


def _refuse_state(native: Json) -> None:
    for name, message in (STORED | UNBOUNDED).items():
        if native.get(name) not in (None, False):
            raise unsupported(name, message)
    if native.get("store") not in (None, False):
        raise unsupported("store", "Replies are not stored here: leave store out or send false.")
    cache = native.get("prompt_cache_options")
    if isinstance(cache, dict) and cache.get("ttl") not in (None, "30m"):
        raise unsupported("prompt_cache_options.ttl", "Only the default lifetime of the prompt cache is priced here.")


def _check_figures(native: Json) -> None:
    cap = native.get("max_output_tokens")
    if cap is not None and (type(cap) is not int or not 1 <= cap <= OUTPUT_TOKENS_MAX):
        raise invalid("max_output_tokens", f"max_output_tokens must be a whole number from 1 to {OUTPUT_TOKENS_MAX}.")
    options = native.get("stream_options")
    if options is not None and not isinstance(options, dict):
        raise invalid("stream_options", "stream_options must be an object.")
    if options is not None and not native.get("stream"):
        raise invalid("stream_options", "stream_options is only allowed when stream is true.")
    metadata = native.get("metadata")
    if metadata is not None and not isinstance(metadata, dict):
        raise invalid("metadata", "metadata must be an object.")


def _tools(chat: Json, native: Json) -> list[str]:
    tools = native.get("tools")
    if tools is None:
        return []
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise invalid("tools", "tools must be a list of objects.")
    functions, untranslated = [], []
    for index, tool in enumerate(tools):
        kind = tool.get("type")
        if kind == "function":
            functions.append({"type": "function", "function": _function(tool, f"tools.{index}")})
        elif isinstance(kind, str) and kind in CLIENT_TOOLS:
            untranslated.append(f"tools.{index}")
        else:
            message = f"The tool {kind!r} runs at the provider and is billed apart; it is not supported here."
            raise unsupported(f"tools.{index}", message)
    if functions:
        chat["tools"] = functions
    return untranslated


def _function(tool: Json, param: str) -> Json:
    if not isinstance(tool.get("name"), str):
        raise invalid(f"{param}.name", "A function has a name.")
    function: Json = {"name": tool["name"]}
    for name in ("description", "parameters", "strict"):
        if tool.get(name) is not None:
            function[name] = tool[name]
    return function


def _tool_choice(chat: Json, native: Json) -> list[str]:
    choice = native.get("tool_choice")
    if choice is None:
        return []
    kind = choice.get("type") if isinstance(choice, dict) else None
    if isinstance(choice, str):
        chat["tool_choice"] = choice
    elif kind == "function":
        chat["tool_choice"] = {"type": "function", "function": {"name": choice.get("name")}}
    elif kind == "allowed_tools":
        chat["tool_choice"] = {"type": kind, "allowed_tools": {"mode": choice.get("mode"), "tools": _allowed(choice)}}
    elif isinstance(kind, str) and kind in CLIENT_TOOLS:
        return ["tool_choice"]
    else:
        raise unsupported("tool_choice", "tool_choice is auto, none, required, a function by its name, or allowed_tools.")
    return []


def _allowed(choice: Json) -> list[Json]:
    tools = choice.get("tools")
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise invalid("tool_choice.tools", "tool_choice.tools must be a list of tools.")
    return [{"type": "function", "function": {"name": tool.get("name")}} for tool in tools]


def _reasoning(chat: Json, native: Json) -> list[str]:
    """The effort. A summary is shown wherever the provider shows its reasoning, asked for or not."""
    reasoning = native.get("reasoning")
    if reasoning is None:
        return []
    if not isinstance(reasoning, dict):
        raise invalid("reasoning", "reasoning must be an object.")
    if reasoning.get("effort") is not None:
        chat["reasoning_effort"] = reasoning["effort"]
    known = ("effort", "summary", "generate_summary")
    return [f"reasoning.{name}" for name, value in reasoning.items() if name not in known and value is not None]


def _text(chat: Json, native: Json) -> list[str]:
    text = native.get("text")
    if text is None:
        return []
    if not isinstance(text, dict):
        raise invalid("text", "text must be an object.")
    if text.get("verbosity") is not None:
        chat["verbosity"] = text["verbosity"]
    wanted = text.get("format")
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if isinstance(wanted, dict) and kind == "json_schema":
        if not isinstance(wanted.get("name"), str) or not isinstance(wanted.get("schema"), dict):
            raise invalid("text.format", "text.format of type json_schema needs a name and a schema.")
        schema = {name: wanted[name] for name in ("name", "description", "schema", "strict") if wanted.get(name) is not None}
        chat["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif kind == "json_object":
        chat["response_format"] = {"type": "json_object"}
    elif wanted is not None and kind != "text":
        raise invalid("text.format", "text.format has a type: text, json_object, or json_schema with a name and a schema.")
    return [f"text.{name}" for name, value in text.items() if name not in ("format", "verbosity") and value is not None]


def _include(chat: Json, native: Json) -> list[str]:
    wanted = native.get("include") or []
    if not isinstance(wanted, list):
        raise invalid("include", "include must be a list.")
    if LOGPROBS in wanted or native.get("top_logprobs"):
        chat["logprobs"] = True
    if native.get("top_logprobs"):
        chat["top_logprobs"] = native["top_logprobs"]
    return [f"include.{index}" for index, each in enumerate(wanted) if each not in (LOGPROBS, KEPT_REASONING)]
