"""Gemini's wire format, requests: what a body asks for, and the errors that Gemini's API gives for a wrong one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import orjson
from pydantic import ValidationError

from deploy.local.provider.ask import Ask, Shape, ToolCall
from deploy.local.provider.decide import Wish, decide
from deploy.local.provider.dialects.gemini_body import Body, Content, FunctionDeclaration
from deploy.local.provider.errors import RefusedError
from deploy.local.provider.phrase import TOOL_PHRASE, scripted
from deploy.local.provider.tokens import Script
from deploy.local.provider.toolcalls import call_of, json_of

IMAGE_TOKENS = 258
"""What an image costs that fits one tile."""

_NO_KEY = (
    "Method doesn't allow unregistered callers (callers without established identity). "
    "Please use API Key or other form of API consumer identity to call this API."
)
_INVALID = "INVALID_ARGUMENT"


def authorize(headers: Sequence[tuple[bytes, bytes]], query: bytes = b"") -> None:
    """Want `x-goog-api-key`, or `key` in the query; which one does not matter."""
    if any(name.lower() == b"x-goog-api-key" and value.strip() for name, value in headers):
        return
    if not re.search(rb"(?:^|&)key=[^&]", query):
        raise RefusedError(403, _NO_KEY, code="PERMISSION_DENIED")


def parse(raw: bytes) -> dict[str, Any]:
    """The body as an object, or RefusedError (400)."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        message = f"Invalid JSON payload received. {error}"
        raise RefusedError(400, message, code=_INVALID) from error
    if type(body) is not dict:
        raise RefusedError(400, "Invalid JSON payload received. Expected an object.", code=_INVALID)
    return body


def shape(body: dict[str, Any], model: str, *, stream: bool) -> Shape:
    """The form of a body, however wrong the body is."""
    config = body.get("generationConfig", body.get("generation_config"))
    config = config if type(config) is dict else {}
    cap = config.get("maxOutputTokens", config.get("max_output_tokens"))
    choices = config.get("candidateCount", config.get("candidate_count"))
    contents, tools = body.get("contents"), body.get("tools")
    return Shape(
        model,
        tuple(body),
        cap if type(cap) is int else None,
        stream,
        stream,
        choices if type(choices) is int else 1,
        len(contents) if type(contents) is list else 0,
        len(tools) if type(tools) is list else 0,
    )


def read(raw: dict[str, Any], model: str, *, stream: bool) -> Ask:
    """Decide the reply to a body, or RefusedError (400)."""
    try:
        body = Body.model_validate(raw)
    except ValidationError as error:
        raise _refused(error) from error
    _check(body)
    contents = [*([body.system_instruction] if body.system_instruction else []), *body.contents]
    parts = [part for content in contents for part in content.parts]
    text = "".join([part.text for part in parts if part.text is not None])
    images = sum(part.inline_data is not None or part.file_data is not None for part in parts)
    script = scripted(text, {})
    tool = _tool(body, script)
    config = body.generation_config
    thinking = config.thinking_config
    thinks = thinking is not None and thinking.thinking_budget != 0
    wish = Wish(
        model, text, len(body.contents), images * IMAGE_TOKENS, config.max_output_tokens, config.candidate_count or 1, stream,
        tool, _literal(body) if tool is None else None, thinks, thinking is not None and thinking.include_thoughts,
    )  # fmt: skip
    return decide(wish, script)


def _refused(error: ValidationError) -> RefusedError:
    """The first fault, worded as the API words it."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    unknown = first["type"] == "extra_forbidden"
    place = first["loc"][:-1] if unknown else first["loc"]
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{_snake(part)}" for part in place).removeprefix(".")
    if not unknown:
        return RefusedError(400, f"Invalid value at '{where}': {first['msg']}", param=where, code=_INVALID)
    at = f" at '{where}'" if where else ""
    message = f'Invalid JSON payload received. Unknown name "{first["loc"][-1]}"{at}: Cannot find field.'
    return RefusedError(400, message, param=where, code=_INVALID)


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def _wrong(message: str, param: str) -> RefusedError:
    return RefusedError(400, message, param=param, code=_INVALID)


def _check(body: Body) -> None:
    """The rules that hold between fields."""
    if not body.contents:
        raise _wrong("* GenerateContentRequest.contents: contents is not specified\n", "contents")
    config = body.generation_config
    if config.schema_of_response is not None and config.response_mime_type not in {"application/json", "text/x.enum"}:
        message = "Function calling config or response schema is set with a mime type other than application/json."
        raise _wrong(message, "generation_config.response_schema")
    called = 0
    for index, content in enumerate(body.contents):
        _check_turn(index, content, called)
        called = sum(part.function_call is not None for part in content.parts)
    if body.system_instruction is not None and not body.system_instruction.parts:
        raise _wrong("* GenerateContentRequest.system_instruction.parts: must not be empty\n", "system_instruction")


def _check_turn(index: int, content: Content, called: int) -> None:
    """A turn says something, in a role that exists, and answers exactly the calls of the turn before."""
    where = f"contents[{index}]"
    if content.role not in {None, "user", "model", "function"}:
        raise _wrong("Please use a valid role: user, model.", f"{where}.role")
    if not content.parts:
        raise _wrong(f"* GenerateContentRequest.{where}.parts: contents.parts must not be empty.\n", f"{where}.parts")
    for at, part in enumerate(content.parts):
        if part.data_fields != 1:
            what = "required oneof field 'data' must have one initialized field"
            raise _wrong(f"* GenerateContentRequest.{where}.parts[{at}].data: {what}\n", f"{where}.parts[{at}]")
    answered = sum(part.function_response is not None for part in content.parts)
    if answered != called:
        message = (
            "Please ensure that the number of function response parts is equal to the number of function call parts of "
            "the function call turn."
        )
        raise _wrong(message, f"{where}.parts")


def _literal(body: Body) -> str | None:
    """Structured output: JSON that fits the schema, or an empty object where only the type is asked for."""
    schema = body.generation_config.schema_of_response
    if schema is not None:
        return json_of(schema)
    return "{}" if body.generation_config.response_mime_type == "application/json" else None


def _tool(body: Body, script: Script) -> ToolCall | None:
    """The call that the model makes: forced by the mode, or its own choice where that is free."""
    declared = {function.name: function for tool in body.tools for function in tool.function_declarations}
    config = body.tool_config.function_calling_config if body.tool_config else None
    mode = config.mode if config else "AUTO"
    names = (config.allowed_function_names if config else []) or list(declared)
    if unknown := [name for name in names if name not in declared]:
        message = f"allowed_function_names: '{unknown[0]}' is not among the function declarations."
        raise _wrong(message, "tool_config.function_calling_config.allowed_function_names")
    if not declared or mode == "NONE":
        return None
    return _call(declared[names[0]]) if mode == "ANY" or _wants(body, script) else None


def _call(function: FunctionDeclaration) -> ToolCall:
    return call_of({"name": function.name, "parameters": function.schema_of_parameters})


def _wants(body: Body, script: Script) -> bool:
    """A model that was given the function's answer answers in text: otherwise an agent's loop would not end."""
    last = body.contents[-1]
    if any(part.function_response is not None for part in last.parts):
        return False
    return script.call_tool or TOOL_PHRASE in "".join([part.text or "" for part in last.parts]).lower()
