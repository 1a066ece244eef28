"""What the calls take whose bodies edge hands on, or whose queries it reads one by one: for the OpenAPI document alone."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

MODEL = Field(min_length=1, max_length=256, description="One of `/v1/models`.")


class _Passed(BaseModel):
    """Further members go on to the provider, in its own words or translated."""

    model_config = ConfigDict(extra="allow")

    model: Annotated[str, MODEL]


class ChatBody(_Passed):
    """OpenAI's body of a chat completion."""

    messages: Annotated[list[dict[str, Any]], Field(min_length=1)]
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    stream: bool | None = None


class ResponsesBody(_Passed):
    """OpenAI's body of a response. Nothing is stored."""

    input: str | Annotated[list[dict[str, Any]], Field(min_length=1)]
    max_output_tokens: Annotated[int, Field(ge=1)] | None = None
    stream: bool | None = None


class MessagesBody(_Passed):
    """Anthropic's body of a message."""

    messages: Annotated[list[dict[str, Any]], Field(min_length=1)]
    max_tokens: Annotated[int, Field(ge=1)]
    stream: bool | None = None


class EmbeddingsBody(_Passed):
    """OpenAI's body of embeddings."""

    input: str | list[str] | list[int] | list[list[int]]
    dimensions: Annotated[int, Field(ge=1)] | None = None
    encoding_format: Literal["float", "base64"] | None = None


class ReceiptQuery(BaseModel):
    """`text` for people; `signed=true` for a file that proves itself."""

    format: Literal["json", "text"] = "json"
    signed: bool = False


class TopUpsQuery(BaseModel):
    """A page."""

    after: Annotated[str, Field(json_schema_extra={"format": "uuid"})] | None = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 100


class StatementQuery(BaseModel):
    """The form, and one bucket alone."""

    format: Literal["json", "csv", "pdf"] = "json"
    bucket: Annotated[str, Field(max_length=128)] | None = None


class UsageQuery(BaseModel):
    """What to report. `from` and `to` are dates or instants, the last seven days by default; `to` is not included."""

    since: Annotated[str | None, Field(alias="from", max_length=64)] = None
    until: Annotated[str | None, Field(alias="to", max_length=64)] = None
    timezone: Annotated[str, Field(max_length=256, description="In which days begin at midnight.")] = "UTC"
    by: Annotated[
        str,
        Field(
            max_length=600,
            description="At most two of project, key, run, model, upstream_model, route_type, bucket, tag and tag:NAME.",
        ),
    ] = ""
    interval: Literal["none", "day", "hour"] = "none"
    project_id: Annotated[str, Field(max_length=256)] | None = None
    key_id: Annotated[str, Field(max_length=256)] | None = None
    run_id: Annotated[str, Field(max_length=256)] | None = None
    model: Annotated[str, Field(max_length=256, description="As it was asked for.")] | None = None
    upstream_model: Annotated[str, Field(max_length=256)] | None = None
    route_type: Annotated[str, Field(max_length=256)] | None = None
    bucket: Annotated[str, Field(max_length=256)] | None = None
    tag: Annotated[list[str], Field(description="A name, or name=value; all that are given have to be there.")] | None = None
    after: Annotated[str, Field(max_length=4096)] | None = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 100
    format: (
        Annotated[Literal["json", "csv"], Field(description="csv: all pages at once; so does `Accept: text/csv`.")] | None
    ) = None


class UsageExplainQuery(BaseModel):
    """Two spans: dates or instants, the last seven days by default and as long a span right before; ends are not included."""

    since: Annotated[str | None, Field(alias="from", max_length=64)] = None
    until: Annotated[str | None, Field(alias="to", max_length=64)] = None
    against_from: Annotated[str, Field(max_length=64)] | None = None
    against_to: Annotated[str, Field(max_length=64)] | None = None
    timezone: Annotated[str, Field(max_length=256, description="In which days begin at midnight.")] = "UTC"
    project_id: Annotated[str, Field(max_length=256)] | None = None
    key_id: Annotated[str, Field(max_length=256)] | None = None
    run_id: Annotated[str, Field(max_length=256)] | None = None
    model: Annotated[str, Field(max_length=256, description="As it was asked for.")] | None = None
    upstream_model: Annotated[str, Field(max_length=256)] | None = None
    route_type: Annotated[str, Field(max_length=256)] | None = None
    bucket: Annotated[str, Field(max_length=256)] | None = None
    tag: Annotated[list[str], Field(description="A name, or name=value; all that are given have to be there.")] | None = None


class UploadForm(BaseModel):
    """A form with a file of at most 100 MB: one JSON request a line."""

    purpose: Literal["batch"]
    file: Annotated[bytes, Field(json_schema_extra={"format": "binary"})]
