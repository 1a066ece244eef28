"""The body of Gemini's `generateContent`, field by field.

After the reference of the Gemini API (`GenerateContentRequest`, `GenerationConfig`, `Content`, `Tool`, `Schema`) and the
official `google-genai` package's types. As in every JSON form of a protocol buffer a field may be written in camelCase or in
snake_case, and a field that the API does not know is refused.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, alias_generator=to_camel, populate_by_name=True)


class Blob(_Message):
    """Bytes in the request itself, base64."""

    mime_type: str
    data: str


class FileData(_Message):
    """A file that was uploaded before, or an address."""

    mime_type: str | None = None
    file_uri: str


class FunctionCall(_Message):
    """A call that the model made earlier."""

    id: str | None = None
    name: str
    args: dict[str, Any] | None = None


class FunctionResponse(_Message):
    """The answer to a call; `response` is an object, never a bare text."""

    id: str | None = None
    name: Annotated[str, Field(min_length=1)]
    response: dict[str, Any]
    will_continue: bool | None = None
    scheduling: str | None = None
    parts: list[Any] | None = None


class Part(_Message):
    """One piece of a turn: exactly one of the data fields is set."""

    text: str | None = None
    inline_data: Blob | None = None
    file_data: FileData | None = None
    function_call: FunctionCall | None = None
    function_response: FunctionResponse | None = None
    executable_code: dict[str, Any] | None = None
    code_execution_result: dict[str, Any] | None = None
    thought: bool = False
    thought_signature: str | None = None
    part_metadata: dict[str, Any] | None = None
    video_metadata: dict[str, Any] | None = None
    media_resolution: dict[str, Any] | None = None

    @property
    def data_fields(self) -> int:
        """How many of the fields that carry data are set."""
        fields = (
            self.text, self.inline_data, self.file_data, self.function_call, self.function_response,
            self.executable_code, self.code_execution_result,
        )  # fmt: skip
        return sum(field is not None for field in fields)


class Content(_Message):
    """One turn, or the system's instruction."""

    role: str | None = None
    parts: list[Part] = Field(default_factory=list)


SchemaType = Literal[
    "TYPE_UNSPECIFIED", "STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT", "NULL",
    "string", "number", "integer", "boolean", "array", "object", "null",
]  # fmt: skip


class Schema(_Message):
    """The subset of OpenAPI's schema that the API takes: no `const`, no `$ref`, no `additionalProperties`."""

    type: SchemaType | None = None
    format: str | None = None
    title: str | None = None
    description: str | None = None
    nullable: bool | None = None
    enum: list[str] | None = None
    default: Any = None
    example: Any = None
    items: Schema | None = None
    max_items: int | None = None
    min_items: int | None = None
    properties: dict[str, Schema] | None = None
    required: list[str] | None = None
    min_properties: int | None = None
    max_properties: int | None = None
    property_ordering: list[str] | None = None
    minimum: float | None = None
    maximum: float | None = None
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None
    any_of: list[Schema] | None = None

    @property
    def as_json_schema(self) -> dict[str, Any]:
        """The same in JSON Schema, whose types are in lower case."""
        fields = self.model_dump(by_alias=True, exclude_unset=True)
        return _lowered(fields)


def _lowered(schema: dict[str, Any]) -> dict[str, Any]:
    lowered = dict(schema)
    if isinstance(schema.get("type"), str):
        lowered["type"] = schema["type"].lower()
    if isinstance(schema.get("items"), dict):
        lowered["items"] = _lowered(schema["items"])
    if isinstance(schema.get("properties"), dict):
        lowered["properties"] = {name: _lowered(field) for name, field in schema["properties"].items()}
    if isinstance(schema.get("anyOf"), list):
        lowered["anyOf"] = [_lowered(choice) for choice in schema["anyOf"]]
    return lowered


class FunctionDeclaration(_Message):
    """A function that the model may call; its parameters in one of two forms."""

    name: Annotated[str, Field(pattern=r"^[a-zA-Z_][a-zA-Z0-9_.:-]{0,63}$")]
    description: str = ""
    parameters: Schema | None = None
    parameters_json_schema: dict[str, Any] | None = None
    response: Schema | None = None
    response_json_schema: dict[str, Any] | None = None
    behavior: str | None = None

    @property
    def schema_of_parameters(self) -> dict[str, Any] | None:
        """The parameters in JSON Schema."""
        return self.parameters.as_json_schema if self.parameters else self.parameters_json_schema


class Tool(_Message):
    """Functions, and the provider's own tools."""

    function_declarations: list[FunctionDeclaration] = Field(default_factory=list)
    google_search: dict[str, Any] | None = None
    google_search_retrieval: dict[str, Any] | None = None
    code_execution: dict[str, Any] | None = None
    url_context: dict[str, Any] | None = None


class FunctionCallingConfig(_Message):
    """How free the model is."""

    mode: Literal["MODE_UNSPECIFIED", "AUTO", "ANY", "NONE", "VALIDATED"] = "AUTO"
    allowed_function_names: list[str] = Field(default_factory=list)


class ToolConfig(_Message):
    """For all tools of the request."""

    function_calling_config: FunctionCallingConfig | None = None
    retrieval_config: dict[str, Any] | None = None


class ThinkingConfig(_Message):
    """How much to think (a budget of -1 leaves it to the model, 0 switches it off), and whether to tell it."""

    include_thoughts: bool = False
    thinking_budget: Annotated[int, Field(ge=-1, le=32_768)] | None = None
    thinking_level: str | None = None


class GenerationConfig(_Message):
    """How to generate."""

    stop_sequences: Annotated[list[str], Field(max_length=5)] | None = None
    response_mime_type: str | None = None
    response_schema: Schema | None = None
    response_json_schema: dict[str, Any] | None = Field(default=None, alias="responseJsonSchema")
    response_modalities: list[str] | None = None
    candidate_count: Annotated[int, Field(ge=1, le=8)] | None = None
    max_output_tokens: Annotated[int, Field(ge=1, le=2_147_483_647)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=1)] | None = None
    seed: Annotated[int, Field(ge=-(2**31), lt=2**31)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, lt=2)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, lt=2)] | None = None
    response_logprobs: bool | None = None
    logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    enable_enhanced_civic_answers: bool | None = None
    speech_config: dict[str, Any] | None = None
    thinking_config: ThinkingConfig | None = None
    image_config: dict[str, Any] | None = None
    media_resolution: str | None = None

    @property
    def schema_of_response(self) -> dict[str, Any] | None:
        """The schema of a structured answer, in JSON Schema."""
        return self.response_schema.as_json_schema if self.response_schema else self.response_json_schema


class Body(_Message):
    """The whole request; model and streaming are in the path."""

    contents: list[Content] = Field(default_factory=list)
    system_instruction: Content | None = None
    generation_config: GenerationConfig = Field(default_factory=GenerationConfig)
    tools: list[Tool] = Field(default_factory=list)
    tool_config: ToolConfig | None = None
    safety_settings: list[dict[str, Any]] | None = None
    cached_content: str | None = None
    service_tier: str | None = None
    store: bool | None = None
    model: str | None = None
