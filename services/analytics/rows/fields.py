"""Texts of an event's JSON as the integers that ClickHouse stores. Each raises ValueError for anything else."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
CANONICAL_UUID_LENGTH = 36


def micros(text: str) -> int:
    """Microseconds since 1970 of an RFC 3339 instant. An instant without an offset is refused."""
    since = datetime.fromisoformat(text) - EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def optional_micros(text: str | None) -> int | None:
    """As :func:`micros`; None for None."""
    return None if text is None else micros(text)


def uuid_number(text: str) -> int:
    """The 128 bits of a UUID as an integer. The canonical form takes a short way, as there are several in each event."""
    if len(text) == CANONICAL_UUID_LENGTH and text.isascii() and "_" not in text:
        return int(text.replace("-", ""), 16)
    return UUID(text).int


def optional_uuid(text: str | None) -> int | None:
    """As :func:`uuid_number`; None for None."""
    return None if text is None else uuid_number(text)


def text_of(value: Any) -> Any:
    """An optional text: ClickHouse keeps "" where the event has none. Another type is left for the column's check."""
    return "" if value is None else value
