"""The envelope that every event of Tollbook shares, and how an event becomes bytes."""

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from uuid_utils import uuid7 as _uuid7

TYPE_HEADER = "type"
"""Kafka record header that repeats the event's type, so that a consumer can skip a record without parsing it."""


def new_id() -> UUID:
    """A UUIDv7: ordered by time, unique without coordination."""
    return UUID(bytes=_uuid7().bytes)


def now() -> datetime:
    """The current instant in UTC."""
    return datetime.now(UTC)


def _utc(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("a timestamp needs an offset; Tollbook writes UTC")
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("a timestamp lies between the years 1 and 9999, in UTC too") from None


UtcDatetime = Annotated[datetime, AfterValidator(_utc)]
Identifier = Annotated[str, Field(min_length=1, max_length=128)]
Tags = Annotated[dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=256)]], Field(max_length=32)]


class Contract(BaseModel):
    """A frozen value on the wire. Unknown fields are ignored on reading: a newer producer never stops an older reader."""

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_timedelta="iso8601")

    def to_json(self) -> bytes:
        """The value as UTF-8 JSON bytes."""
        return self.__pydantic_serializer__.to_json(self)


class Event(Contract):
    """One immutable fact. `request_id` is None for events about no request (a top-up, a price book)."""

    event_id: UUID = Field(default_factory=new_id)
    type: str
    version: int = 1
    occurred_at: UtcDatetime = Field(default_factory=now)
    account_id: Identifier
    request_id: UUID | None = None
    run_id: Identifier | None = None
    environment: Identifier = "default"
    tags: Tags = Field(default_factory=dict)
    traceparent: str | None = None
