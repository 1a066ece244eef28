"""The body of Anthropic's `POST /v1/messages`, field by field.

After the official `anthropic` package's `types/message_create_params.py` and the types that it names. Anthropic's API refuses
fields that it does not know, and words its refusals as pydantic does.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class CacheControl(_Strict):
    """Where a cached prefix ends."""

    type: Literal["ephemeral"]
    ttl: Literal["5m", "1h"] | None = None


class _Block(_Strict):
    cache_control: CacheControl | None = None


class Text(_Block):
    """A text block; empty ones are refused."""

    type: Literal["text"]
    text: str
    citations: list[Any] | None = None


class Base64(_Strict):
    """Bytes in the request itself."""

    type: Literal["base64"]
    media_type: Literal["image/jpeg", "image/png", "image/gif", "image/webp"]
    data: str


class Pdf(_Strict):
    """A document's bytes."""

    type: Literal["base64"]
    media_type: Literal["application/pdf"]
    data: str


class PlainText(_Strict):
    """A document that is text."""

    type: Literal["text"]
    media_type: Literal["text/plain"]
    data: str


class Url(_Strict):
    """An address that the provider fetches."""

    type: Literal["url"]
    url: str


class File(_Strict):
    """A file that was uploaded before."""

    type: Literal["file"]
    file_id: str


class Image(_Block):
    """An image."""

    type: Literal["image"]
    source: Annotated[Base64 | Url | File, Field(discriminator="type")]


class Document(_Block):
    """A document."""

    type: Literal["document"]
    source: Annotated[Pdf | PlainText | Url | File, Field(discriminator="type")]
    title: str | None = None
    context: str | None = None
    citations: dict[str, Any] | None = None


class ToolUse(_Block):
    """A call that the model made earlier."""

    type: Literal["tool_use"]
    id: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]+$")]
    name: Annotated[str, Field(min_length=1, max_length=200)]
    input: dict[str, Any]


class ToolResult(_Block):
    """The answer to a call."""

    type: Literal["tool_result"]
    tool_use_id: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]+$")]
    content: str | list[Annotated[Text | Image | Document, Field(discriminator="type")]] = ""
    is_error: bool = False


class Thinking(_Strict):
    """Reasoning that the model told earlier, with its signature."""

    type: Literal["thinking"]
    thinking: str
    signature: str


class RedactedThinking(_Strict):
    """Reasoning that the client was not shown."""

    type: Literal["redacted_thinking"]
    data: str


Block = Annotated[Text | Image | Document | ToolUse | ToolResult | Thinking | RedactedThinking, Field(discriminator="type")]


class Message(_Strict):
    """One turn."""

    role: Literal["user", "assistant"]
    content: str | list[Block]

    @property
    def blocks(self) -> list[Any]:
        """The content as blocks: a string is short for one text block."""
        return [Text(type="text", text=self.content)] if isinstance(self.content, str) else self.content


class Metadata(_Strict):
    """Who the request is for."""

    user_id: Annotated[str, Field(max_length=256)] | None = None


class Tool(_Block):
    """A tool of the client's own."""

    type: Literal["custom"] | None = None
    name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,128}$")]
    description: str = ""
    input_schema: dict[str, Any]
    strict: bool = False


class ToolChoice(_Strict):
    """How free the model is."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool = False


class ThinkingEnabled(_Strict):
    """Think, within a budget."""

    type: Literal["enabled"]
    budget_tokens: Annotated[int, Field(ge=1024)]
    display: Literal["summarized", "omitted"] | None = None


class ThinkingAdaptive(_Strict):
    """Think as much as it takes."""

    type: Literal["adaptive"]
    display: Literal["summarized", "omitted"] | None = None


class ThinkingDisabled(_Strict):
    """Do not think."""

    type: Literal["disabled"]


class JsonFormat(_Strict):
    """Structured output. JSON calls the field `schema`, a name that the model class has taken."""

    type: Literal["json_schema"]
    json_schema: Annotated[dict[str, Any], Field(alias="schema")]


class OutputConfig(_Strict):
    """How hard to try, and in which form to answer."""

    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: JsonFormat | None = None


class Body(_Strict):
    """The whole request."""

    model: Annotated[str, Field(min_length=1, max_length=256)]
    messages: Annotated[list[Message], Field(max_length=100_000)]
    max_tokens: Annotated[int, Field(ge=1)]
    system: str | list[Text] = ""
    stream: bool = False
    temperature: Annotated[float, Field(ge=0, le=1)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=0)] | None = None
    stop_sequences: list[str] | None = None
    tools: list[Tool] | None = None
    tool_choice: ToolChoice | None = None
    thinking: Annotated[ThinkingEnabled | ThinkingAdaptive | ThinkingDisabled, Field(discriminator="type")] | None = None
    output_config: OutputConfig | None = None
    metadata: Metadata | None = None
    service_tier: Literal["auto", "standard_only"] | None = None
    cache_control: CacheControl | None = None
    inference_geo: str | None = None
    container: str | None = None
