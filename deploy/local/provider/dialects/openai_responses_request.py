"""OpenAI's wire format, requests for a response: what a body asks for, and the errors that the API gives for a wrong one."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from deploy.local.provider.ask import Ask, Shape, ToolCall
from deploy.local.provider.decide import Wish, decide
from deploy.local.provider.dialects.openai_responses_body import (
    ITEMS,
    AllowedChoice,
    Body,
    FunctionCall,
    FunctionCallOutput,
    FunctionTool,
    InputFile,
    InputImage,
    InputText,
    Message,
    NamedChoice,
    OutputText,
)
from deploy.local.provider.errors import RefusedError
from deploy.local.provider.phrase import TOOL_PHRASE, scripted
from deploy.local.provider.tokens import Script
from deploy.local.provider.toolcalls import call_of, json_of

Model = TypeVar("Model", bound=BaseModel)
IMAGE_TOKENS = 765
"""What an image of 1024 x 1024 costs in high detail."""


def shape(body: dict[str, Any]) -> Shape:
    """The form of a body, however wrong the body is."""
    model, cap, given, tools = (body.get(key) for key in ("model", "max_output_tokens", "input", "tools"))
    stream = body.get("stream") is True
    return Shape(
        model if type(model) is str else None,
        tuple(body),
        cap if type(cap) is int else None,
        stream,
        stream,
        1,
        len(given) if type(given) is list else 1,
        len(tools) if type(tools) is list else 0,
    )


def read(raw: dict[str, Any]) -> Ask:
    """Decide the reply to a body, or RefusedError (400)."""
    body = validated(Body, raw, "")
    if not body.model:
        raise RefusedError(400, "you must provide a model parameter")
    items = _items(body)
    texts, media = _said(items)
    text = "".join([body.instructions or "", *texts])
    script = scripted(text, body.metadata or {})
    tool = _tool(body, items, script)
    form = body.text.format if body.text else None
    literal = json_of(form.json_schema or {}) if form is not None and form.type == "json_schema" and tool is None else None
    summary = body.reasoning is not None and (body.reasoning.summary or body.reasoning.generate_summary) is not None
    messages = sum(isinstance(item, Message | FunctionCallOutput) for item in items) + bool(body.instructions)
    wish = Wish(
        body.model, text, messages, media * IMAGE_TOKENS, body.max_output_tokens, 1, bool(body.stream), tool, literal,
        False, summary,
    )  # fmt: skip
    options = body.stream_options
    ask = decide(wish, script)
    return ask._replace(obfuscate=ask.stream and (options is None or options.include_obfuscation is not False))


def validated(model: type[Model], raw: Any, where: str) -> Model:
    """The value as its model, or the first fault worded as the API words it."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        param = _place(where, first["loc"])
        if first["type"] == "extra_forbidden":
            raise RefusedError(400, f"Unknown parameter: '{param}'.", param=param, code="unknown_parameter") from error
        if first["type"] == "missing":
            message = f"Missing required parameter: '{param}'."
            raise RefusedError(400, message, param=param, code="missing_required_parameter") from error
        raise RefusedError(400, f"Invalid value for '{param}': {first['msg']}.", param=param, code="invalid_value") from error


def _place(where: str, loc: tuple[int | str, ...]) -> str:
    place = where
    for step in loc:
        place += f"[{step}]" if isinstance(step, int) else f".{step}" if place else step
    return place


def _items(body: Body) -> list[BaseModel]:
    if isinstance(body.input, str):
        return [Message(role="user", content=body.input)]
    found: list[BaseModel] = []
    called: set[str] = set()
    for index, raw in enumerate(body.input):
        kind = raw.get("type", "message")
        model = ITEMS.get(kind) if isinstance(kind, str) else None
        if model is None:
            raise RefusedError(400, f"Invalid value: '{kind}'.", param=f"input[{index}]", code="invalid_value")
        item = validated(model, raw, f"input[{index}]")
        if isinstance(item, FunctionCall):
            called.add(item.call_id)
        if isinstance(item, FunctionCallOutput) and item.call_id not in called:
            message = f"No tool call found for function call output with call_id {item.call_id}."
            raise RefusedError(400, message, param="input")
        found.append(item)
    if not found:
        raise RefusedError(400, "Invalid 'input': empty array.", param="input", code="empty_array")
    return found


def _said(items: list[BaseModel]) -> tuple[list[str], int]:
    """Every text of the input, and how many images and files come with them."""
    texts: list[str] = []
    media = 0
    for item in items:
        content = item.content if isinstance(item, Message) else item.output if isinstance(item, FunctionCallOutput) else []
        if isinstance(content, str):
            texts.append(content)
            continue
        texts += [part.text for part in content if isinstance(part, InputText | OutputText)]
        media += sum(isinstance(part, InputImage | InputFile) for part in content)
    return texts, media


def _tool(body: Body, items: list[BaseModel], script: Script) -> ToolCall | None:
    """The call that the model makes: forced by tool_choice, or its own choice where that is free."""
    functions = {
        tool.name: {"name": tool.name, "parameters": tool.parameters}
        for tool in body.tools or ()
        if isinstance(tool, FunctionTool)
    }
    choice = body.tool_choice
    if isinstance(choice, AllowedChoice):
        functions = {tool.name: functions[tool.name] for tool in choice.tools if tool.name in functions}
        choice = choice.mode
    if isinstance(choice, NamedChoice):
        if choice.name not in functions:
            message = f"Tool choice 'function' not found in 'tools' parameter: {choice.name}."
            raise RefusedError(400, message, param="tool_choice")
        return call_of(functions[choice.name])
    if choice == "none" or not functions:
        return None
    return call_of(next(iter(functions.values()))) if choice == "required" or _wants(items, script) else None


def _wants(items: list[BaseModel], script: Script) -> bool:
    """A model that was given the tool's answer answers in text: otherwise an agent's loop would not end."""
    if isinstance(items[-1], FunctionCallOutput):
        return False
    last = next((item for item in reversed(items) if isinstance(item, Message) and item.role == "user"), None)
    return script.call_tool or (last is not None and TOOL_PHRASE in "".join(_said([last])[0]).lower())
