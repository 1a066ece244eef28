"""From a Kafka record to a settling event, or to the reason why it can never be one. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from uuid import UUID

from pydantic import ValidationError

from schemas import topics
from schemas.attempts import RequestCompleted
from schemas.envelope import TYPE_HEADER
from services.settlement.errors import PoisonError

SETTLING_TYPE = "RequestCompleted"
MAX_PAYLOAD_BYTES = 2 << 20


@dataclass(slots=True)
class Record:
    """A record as it lies in the topic. `outcome` is what it was read to be, None while nobody has read it."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    type: str
    outcome: "Incoming | PoisonError | None" = None


@dataclass(slots=True)
class Incoming:
    """A settling event with its place and the digest that tells a repeat from a forgery."""

    record: Record
    event: RequestCompleted
    payload: str
    hash: str

    @property
    def event_id(self) -> UUID:
        """The event's id: what makes a repeat a repeat."""
        return self.event.event_id


def type_of(headers: Sequence[tuple[str, bytes]]) -> str:
    """The record's type by its header, "" where it has none."""
    for name, value in headers:
        if name == TYPE_HEADER:
            return value.decode("utf-8", "replace")
    return ""


def settles(type_name: str) -> bool:
    """Whether the ledger must look at the record. A record without a type could be anything, so it is looked at."""
    return type_name in {SETTLING_TYPE, ""}


def read(record: Record) -> Incoming:
    """The event in the record. Raises PoisonError with a reason from a fixed set."""
    if record.type != SETTLING_TYPE:
        raise PoisonError("no_type", f"the record has no {TYPE_HEADER!r} header")
    if record.value is None:
        raise PoisonError("no_value", "the record has no value")
    if len(record.value) > MAX_PAYLOAD_BYTES:
        raise PoisonError("too_large", f"{len(record.value)} bytes")
    try:
        event = RequestCompleted.model_validate_json(record.value)
        payload = record.value.decode("utf-8")
    except (ValidationError, UnicodeDecodeError) as error:
        raise PoisonError("unreadable", _reason(error)) from error
    if "\x00" in payload or "\\u0000" in payload:
        raise PoisonError("unreadable", "the payload has a NUL character")
    if event.request_id is None:
        raise PoisonError("inconsistent", "a completion without its request's id")
    if event.version != 1:
        raise PoisonError("unknown_version", f"version {event.version} of {SETTLING_TYPE}")
    if record.key is not None and record.key.decode("utf-8", "replace") != event.account_id:
        raise PoisonError("wrong_key", f"keyed otherwise than by its account on {topics.ATTEMPTS}")
    return Incoming(record, event, payload, blake2b(record.value, digest_size=16).hexdigest())


def read_ahead(records: Iterable[Record]) -> None:
    """Read every settling record now, so that whoever posts it later finds its outcome."""
    for record in records:
        if settles(record.type):
            record.outcome = outcome_of(record)


def outcome_of(record: Record) -> Incoming | PoisonError:
    """The event, or why there is none. What was read ahead is handed over: an event names its record, never both each other."""
    found, record.outcome = record.outcome, None
    if found is not None:
        return found
    try:
        return read(record)
    except PoisonError as error:
        return error


def _reason(error: ValidationError | UnicodeDecodeError) -> str:
    """What is wrong and where, without the value: a payload must not get into logs."""
    if isinstance(error, UnicodeDecodeError):
        return f"not UTF-8 at byte {error.start}"
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['type']}"
