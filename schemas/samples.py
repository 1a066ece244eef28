"""Events of `tollbook.usage.v1`: what the loader counted per key and channel, for the velocity meter. Advisory, never money."""

from typing import Annotated, Literal

from pydantic import Field

from schemas.envelope import Contract, Event, Identifier, UtcDatetime

OPERATOR = "operator"
"""In place of an account: what a channel did is the installation's."""
MOST_TAGS = 32
Count = Annotated[int, Field(ge=0)]
BatchNo = Annotated[int | None, Field(ge=1)]
"""The loader's batch that was counted. One that is told again, because a loader died, has the same number and counts once."""


class UsageSampleData(Contract):
    """Completed requests and tokens of one key within one flush of the loader; `second` is the second they completed in.

    `tags` are those of its requests, written name=value: rules may differ by them.
    """

    project_id: Identifier
    key_id: Identifier
    second: UtcDatetime
    requests: int = Field(ge=0)
    tokens: int = Field(ge=0)
    tags: Annotated[list[Annotated[str, Field(max_length=321)]], Field(max_length=MOST_TAGS)] = Field(default_factory=list)
    batch_no: BatchNo = None


class UsageSample(Event):
    """Tokens that one key used in one second."""

    type: Literal["UsageSample"] = "UsageSample"
    data: UsageSampleData


class ErrorCount(Contract):
    """Failed attempts of one class."""

    error_class: Identifier
    attempts: Count


class ChannelSampleData(Contract):
    """Attempts of one channel that ended within one second, as far as one flush of the loader saw them.

    `failed` are those that are the channel's doing, by `errors`; `burned_attempts` failed and had used `burned_tokens`.
    """

    channel: Identifier
    second: UtcDatetime
    attempts: Count
    failed: Count
    tokens: Count
    burned_attempts: Count
    burned_tokens: Count
    errors: Annotated[list[ErrorCount], Field(max_length=32)] = Field(default_factory=list)
    batch_no: BatchNo = None


class ChannelSample(Event):
    """What one channel did in one second."""

    type: Literal["ChannelSample"] = "ChannelSample"
    data: ChannelSampleData
