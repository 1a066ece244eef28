"""Records as rows of the shadow schema, and what is wrong with those that are none. Pure."""

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any
from uuid import UUID

import orjson
from pydantic import ValidationError

from schemas import topics
from schemas.registry import UnknownEventError, decode
from services.settlement.audit.facts import fact_of, hold_ended_by
from services.settlement.errors import PoisonError
from services.settlement.records import Record, read, settles, type_of

CompletionRow = tuple[int, int, UUID | None, UUID | None, str | None, str | None, str | None]
"""Partition, offset, event id, request id, digest, payload, why it is poison."""
LedgerRow = tuple[int, int, UUID, str, str, str, UUID | None, UUID | None, str, str]
"""Partition, offset, event id, account, type, kind of fact, the fact's id, the hold that it ended, digest, payload."""


def completion_rows(records: Iterable[Any]) -> list[CompletionRow]:
    """What the ledger has to settle or set aside of the records."""
    return [_completion(record) for record in records if settles(type_of(record.headers))]


def ledger_rows(records: Iterable[Any]) -> tuple[list[LedgerRow], list[str]]:
    """The ledger's events, and a sentence for each record that is none."""
    rows: list[LedgerRow] = []
    unreadable: list[str] = []
    for record in records:
        try:
            rows.append(_ledger_event(record))
        except (UnknownEventError, ValidationError, UnicodeDecodeError, TypeError) as error:
            unreadable.append(f"{record.topic}/{record.partition}/{record.offset}: {type(error).__name__}")
    return rows, unreadable


def event_id_rows(records: Iterable[Any], aside: frozenset[tuple[str, int, int]]) -> tuple[list[tuple[Any, ...]], list[str]]:
    """Place and id of every record that must be in ClickHouse, and a sentence for each that has no id and was not set aside."""
    rows: list[tuple[Any, ...]] = []
    nameless: list[str] = []
    for record in records:
        place = (record.topic, record.partition, record.offset)
        if place in aside:
            continue
        event_id = _event_id(record.value)
        if event_id is None:
            nameless.append(f"{record.topic}/{record.partition}/{record.offset} is no event and was not set aside")
        else:
            rows.append((*place, event_id))
    return rows, nameless


def set_aside(records: Iterable[Any], consumer: str) -> Iterable[tuple[str, int, int]]:
    """Places of the records that a consumer could not use, as the topic of dead letters tells them."""
    for record in records:
        try:
            data: Any = getattr(decode(topics.DEAD, "DeadLetter", record.value or b""), "data", None)
        except (UnknownEventError, ValidationError):
            continue
        if data.consumer == consumer:
            yield data.topic, data.partition, data.offset


def _completion(record: Any) -> CompletionRow:
    kept = Record(record.partition, record.offset, record.key, record.value, type_of(record.headers))
    try:
        incoming = read(kept)
    except PoisonError as error:
        return record.partition, record.offset, None, None, None, None, error.reason
    event = incoming.event
    return record.partition, record.offset, event.event_id, event.request_id, incoming.hash, incoming.payload, None


def _ledger_event(record: Any) -> LedgerRow:
    value: bytes = record.value or b""
    payload = value.decode("utf-8").replace("\x00", "")
    event = decode(topics.LEDGER, type_of(record.headers), value)
    fact, ref = fact_of(event)
    digest = blake2b(value, digest_size=16).hexdigest()
    place = (record.partition, record.offset)
    return (*place, event.event_id, event.account_id, event.type, fact, ref, hold_ended_by(event), digest, payload)


def _event_id(value: bytes | None) -> UUID | None:
    try:
        found: Any = orjson.loads(value or b"")
        return UUID(found["event_id"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def chunks(rows: Sequence[Any], size: int) -> Iterable[Sequence[Any]]:
    """The rows in pieces."""
    return (rows[start : start + size] for start in range(0, len(rows), size))
