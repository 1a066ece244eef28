"""A chat completion request as Gemini's generateContent. Pure.

Gemini knows a tool's answer by the function's name and not by the call's id, so that each `tool` message is looked up among
the calls before it. A call's thought signature travels in `extra_content.google.thought_signature`, as Google itself has it
in OpenAI's format.
"""

from __future__ import annotations

from typing import Any

import orjson

from services.router.dialects.chat_parts import (
    SYSTEM_ROLES,
    Data,
    Json,
    arguments_of,
    file_of,
    functions_of,
    image_of,
    number,
    part_text,
    said,
    schema_wish,
    stops,
    text_of,
    tool_wish,
)
from services.router.dialects.dialect import no_meaning

THINKING_BUDGET = {"none": 0, "minimal": 512, "low": 1024, "medium": 8192, "high": 24_576}
MODES = {"auto": "AUTO", "none": "NONE", "required": "ANY"}
AUDIO_TYPES = {"wav": "audio/wav", "mp3": "audio/mp3"}


def translated(body: Json, output_cap: int) -> Json:
    """The request. Raises :class:`UpstreamError` (400) naming the parameter that has no meaning there."""
    system, contents = _conversation(body["messages"])
    config: Json = {"maxOutputTokens": output_cap}
    request: Json = {"contents": contents, "generationConfig": config}
    if system:
        request["systemInstruction"] = {"parts": [{"text": system}]}
    for name, value in said(body):
        if name in _FIGURES:
            field, low, high, expected = _FIGURES[name]
            config[field] = number(name, value, low, high, expected)
        elif name in _TAKERS:
            _TAKERS[name](request, value)
        elif value != _NEUTRAL.get(name, ...):
            raise no_meaning(name, f"{name} has no meaning for the provider of this route.")
    return request


def _stop(request: Json, value: Any) -> None:
    request["generationConfig"]["stopSequences"] = stops(value)


def _choices(request: Json, value: Any) -> None:
    if value != 1:
        request["generationConfig"]["candidateCount"] = value


def _tools(request: Json, value: Any) -> None:
    declared = []
    for function in functions_of(value):
        one: Json = {"name": function["name"]}
        if function.get("description"):
            one["description"] = function["description"]
        if function.get("parameters"):
            one["parametersJsonSchema"] = function["parameters"]
        declared.append(one)
    if declared:
        request["tools"] = [{"functionDeclarations": declared}]


def _tool_choice(request: Json, value: Any) -> None:
    wish, name = tool_wish(value)
    config: Json = {"mode": MODES.get(wish, "ANY")}
    if name is not None:
        config["allowedFunctionNames"] = [name]
    request["toolConfig"] = {"functionCallingConfig": config}


def _response_format(request: Json, value: Any) -> None:
    schema = schema_wish(value)
    if schema is not None:
        config = request["generationConfig"]
        config["responseMimeType"] = "application/json"
        if schema:
            config["responseJsonSchema"] = schema


def _effort(request: Json, value: Any) -> None:
    if value not in THINKING_BUDGET:
        raise no_meaning("reasoning_effort", f"reasoning_effort is one of {', '.join(THINKING_BUDGET)}.")
    request["generationConfig"]["thinkingConfig"] = {"thinkingBudget": THINKING_BUDGET[value]}


_FIGURES: dict[str, tuple[str, float, float, str]] = {
    "temperature": ("temperature", 0, 2, "from 0 to 2"),
    "top_p": ("topP", 0, 1, "from 0 to 1"),
    "seed": ("seed", -(2**31), 2**31 - 1, "of 32 bits"),
    "presence_penalty": ("presencePenalty", -2, 2, "from -2 to 2"),
    "frequency_penalty": ("frequencyPenalty", -2, 2, "from -2 to 2"),
}
_TAKERS = {
    "stop": _stop,
    "n": _choices,
    "tools": _tools,
    "tool_choice": _tool_choice,
    "response_format": _response_format,
    "reasoning_effort": _effort,
}
_NEUTRAL: Json = {
    "logprobs": False,
    "logit_bias": {},
    "modalities": ["text"],
    "parallel_tool_calls": True,
    "verbosity": "medium",
}
"""Values that ask for what the provider does anyway."""


def _conversation(messages: list[Json]) -> tuple[str, list[Json]]:
    system: list[str] = []
    contents: list[Json] = []
    names: dict[Any, str] = {}
    for index, message in enumerate(messages):
        param, role = f"messages.{index}", message.get("role")
        if role in SYSTEM_ROLES:
            system.append(text_of(message.get("content"), f"{param}.content"))
        elif role == "user":
            _add(contents, "user", _parts(message.get("content"), param))
        elif role == "assistant":
            _add(contents, "model", _answer(message, param, names))
        elif role == "tool":
            _add(contents, "user", [_result(message, param, names)])
        else:
            raise no_meaning(f"{param}.role", f"The provider of this route has no role {role!r}.")
    return "\n\n".join(system), contents


def _add(contents: list[Json], role: str, parts: list[Json]) -> None:
    if not parts:
        return
    if contents and contents[-1]["role"] == role:
        contents[-1]["parts"] += parts
    else:
        contents.append({"role": role, "parts": parts})


def _answer(message: Json, param: str, names: dict[Any, str]) -> list[Json]:
    parts = _parts(message.get("content"), param)
    for index, call in enumerate(message.get("tool_calls") or []):
        arguments = arguments_of(call, f"{param}.tool_calls.{index}")
        name = names[call.get("id")] = str(call["function"].get("name"))
        part: Json = {"functionCall": {"name": name, "args": arguments}}
        signature = _signature(call)
        if signature is not None:
            part["thoughtSignature"] = signature
        parts.append(part)
    return parts


def _signature(call: Json) -> str | None:
    extra = call.get("extra_content")
    google = extra.get("google") if isinstance(extra, dict) else None
    found = google.get("thought_signature") if isinstance(google, dict) else None
    return found if isinstance(found, str) else None


def _result(message: Json, param: str, names: dict[Any, str]) -> Json:
    call_id = message.get("tool_call_id")
    if call_id not in names:
        raise no_meaning(f"{param}.tool_call_id", "A tool message answers a tool call of an assistant message before it.")
    text = text_of(message.get("content"), f"{param}.content")
    return {"functionResponse": {"name": names[call_id], "response": _object(text)}}


def _object(text: str) -> Json:
    """A tool's answer as the object that Gemini wants."""
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {"result": text}
    return found if isinstance(found, dict) else {"result": found}


def _parts(content: Any, param: str) -> list[Json]:
    if content is None:
        return []
    if isinstance(content, str):
        return [{"text": content}] if content else []
    return [_part(part, f"{param}.content.{index}") for index, part in enumerate(content)]


def _part(part: Json, param: str) -> Json:
    kind = part["type"]
    if kind == "image_url":
        return _data(image_of(part, param), param)
    if kind == "file":
        return _data(file_of(part, param), param)
    if kind == "input_audio":
        return _audio(part, param)
    return {"text": part_text(part, param)}


def _data(data: Data, param: str) -> Json:
    if data.url is not None:
        raise no_meaning(param, "The provider of this route takes images only as data addresses (data:image/png;base64,…).")
    return {"inlineData": {"mimeType": data.media_type, "data": data.data}}


def _audio(part: Json, param: str) -> Json:
    audio = part.get("input_audio")
    media_type = AUDIO_TYPES.get(str(audio.get("format"))) if isinstance(audio, dict) else None
    if media_type is None or not isinstance(audio, dict) or not isinstance(audio.get("data"), str):
        raise no_meaning(param, "An input_audio part needs data and a format, wav or mp3.")
    return {"inlineData": {"mimeType": media_type, "data": audio["data"]}}
