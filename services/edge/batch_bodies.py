"""What a client may say of a batch, and what its metadata asks of Tollbook. Pure."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

REPEAT = "tollbook_repeat"
ON_REFUSAL = "tollbook_on_refusal"
CHOICES = {REPEAT: ("true", "false"), ON_REFUSAL: ("continue", "stop")}
WINDOW = "24h"
Endpoint = Literal["/v1/chat/completions", "/v1/responses", "/v1/embeddings"]
Name = Annotated[str, Field(min_length=1, max_length=64)]
Value = Annotated[str, Field(max_length=512)]


def _known(metadata: dict[str, str]) -> dict[str, str]:
    for name, choices in CHOICES.items():
        if name in metadata and metadata[name] not in choices:
            raise ValueError(f"{name} takes {' or '.join(choices)}")
    if any("\0" in text for pair in metadata.items() for text in pair):
        raise ValueError("takes no NUL characters")
    return metadata


class BatchBody(BaseModel):
    """Body of `POST /v1/batches`."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    input_file_id: Annotated[str, Field(max_length=64)]
    endpoint: Endpoint
    completion_window: Literal["24h"]
    metadata: Annotated[dict[Name, Value], Field(max_length=16), AfterValidator(_known)] = Field(default_factory=dict)


class BatchesQuery(BaseModel):
    """Query of `GET /v1/batches`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    after: Annotated[str, Field(max_length=64)] | None = None
    limit: Annotated[int, Field(ge=1, le=100)] = 20
