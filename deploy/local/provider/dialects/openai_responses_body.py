"""OpenAI's wire format: the body of a request for a response, field by field.

As in the reference of the Responses API and in the official `openai` package's types (`types/responses/*_param.py`). Fields
that the API does not have are refused, as it refuses them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _Open(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


class InputText(_Strict):
    """Text of a user, a developer or a tool."""

    type: Literal["input_text"]
    text: str


class OutputText(_Open):
    """Text of the assistant, sent back."""

    type: Literal["output_text"]
    text: str


class Refusal(_Strict):
    """A refusal of the assistant, sent back."""

    type: Literal["refusal"]
    refusal: str


class InputImage(_Strict):
    """An image, by its address."""

    type: Literal["input_image"]
    image_url: str
    detail: Literal["auto", "low", "high", "original"] | None = None


class InputFile(_Strict):
    """A file that brings its bytes."""

    type: Literal["input_file"]
    file_data: str
    filename: str | None = None


Part = Annotated[InputText | OutputText | Refusal | InputImage | InputFile, Field(discriminator="type")]


class Message(_Open):
    """A turn; `type` may be left out."""

    type: Literal["message"] = "message"
    role: Literal["user", "assistant", "system", "developer"]
    content: str | list[Part]


class FunctionCall(_Open):
    """A call that the assistant made, sent back."""

    type: Literal["function_call"]
    call_id: str
    name: str
    arguments: str


class FunctionCallOutput(_Open):
    """What a call came to."""

    type: Literal["function_call_output"]
    call_id: str
    output: str | list[Part]


class ReasoningItem(_Open):
    """Reasoning, sent back."""

    type: Literal["reasoning"]
    summary: list[Any]


class FunctionTool(_Strict):
    """A function that may be called."""

    type: Literal["function"]
    name: str
    parameters: dict[str, Any] | None = None
    strict: bool | None = None
    description: str | None = None


class CustomTool(_Open):
    """A tool that takes text as it comes."""

    type: Literal["custom"]
    name: str


class NamedChoice(_Strict):
    """The one function to call."""

    type: Literal["function", "custom"]
    name: str


class AllowedChoice(_Strict):
    """The functions that may be called."""

    type: Literal["allowed_tools"]
    mode: Literal["auto", "required"]
    tools: list[NamedChoice]


class Format(_Strict):
    """What the text must look like."""

    type: Literal["text", "json_object", "json_schema"]
    name: str | None = None
    description: str | None = None
    json_schema: Annotated[dict[str, Any] | None, Field(alias="schema")] = None
    strict: bool | None = None


class TextConfig(_Strict):
    """The text's form and length."""

    format: Format | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class Reasoning(_Strict):
    """How hard to think, and what of it to show."""

    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None
    generate_summary: Literal["auto", "concise", "detailed"] | None = None


class StreamOptions(_Strict):
    """How to stream."""

    include_obfuscation: bool | None = None


class Body(_Strict):
    """The whole request."""

    model: str
    input: str | list[dict[str, Any]]
    instructions: str | None = None
    max_output_tokens: Annotated[int, Field(ge=16)] | None = None
    max_tool_calls: int | None = None
    metadata: dict[str, str] | None = None
    parallel_tool_calls: bool | None = None
    previous_response_id: None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    reasoning: Reasoning | None = None
    safety_identifier: str | None = None
    service_tier: str | None = None
    store: bool | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | int | None = None
    text: TextConfig | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedChoice | AllowedChoice | None = None
    tools: list[Annotated[FunctionTool | CustomTool, Field(discriminator="type")]] | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | int | None = None
    truncation: Literal["auto", "disabled"] | None = None
    user: str | None = None
    background: bool | None = None
    include: list[str] | None = None


ITEMS: dict[str, type[BaseModel]] = {
    "message": Message,
    "function_call": FunctionCall,
    "function_call_output": FunctionCallOutput,
    "reasoning": ReasoningItem,
}
"""Items by their type; one without is a message."""
