"""A batch of Kafka records as columns per table, and the poison among them."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

from services.analytics.errors import PoisonRecordError
from services.analytics.rows.registry import TABLE_OF, TABLES
from services.analytics.rows.table import Table

Row = tuple[Any, ...]
MAX_TYPE_LENGTH = 64
UNFIT = (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError)
"""What a filler raises for an event that does not have the promised shape."""


class Record(Protocol):
    """What is read of a Kafka record."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def value(self) -> bytes | None: ...


@dataclass(frozen=True, slots=True)
class Poison:
    """A record that can never become a row. `account_id` is None where it could not be read."""

    topic: str
    partition: int
    offset: int
    reason: str
    detail: str
    account_id: str | None = None


@dataclass(slots=True)
class Decoded:
    """Rows per table, all of them fit to be inserted, and the records that were set aside."""

    rows: dict[str, list[Row]] = field(default_factory=lambda: {table.name: [] for table in TABLES})
    poison: list[Poison] = field(default_factory=list)

    def columns(self, table: Table) -> list[tuple[Any, ...]]:
        """The table's rows turned into columns, in the order of its columns. Empty for no rows."""
        return list(zip(*self.rows[table.name], strict=True))

    def column(self, table: Table, name: str) -> list[Any]:
        """The values of one column."""
        position = table.names.index(name)
        return [row[position] for row in self.rows[table.name]]

    @property
    def row_count(self) -> int:
        """Rows over all tables."""
        return sum(len(rows) for rows in self.rows.values())


def decode(records: Iterable[Record]) -> Decoded:
    """Rows of all records that fit, and a verdict on each that does not. The same records always give the same result."""
    decoded = Decoded()
    for record in records:
        try:
            table, row = _row_of(record)
        except PoisonRecordError as error:
            decoded.poison.append(_poison(record, error))
        else:
            decoded.rows[table.name].append(row)
    for table in TABLES:
        _set_unfit_rows_aside(table, decoded)
    return decoded


def _row_of(record: Record) -> tuple[Table, Row]:
    event = _event_of(record.value)
    kind = event.get("type")
    table = TABLE_OF.get((record.topic, kind)) if type(kind) is str else None
    if table is None:
        named = kind if type(kind) is str and kind.isidentifier() and len(kind) <= MAX_TYPE_LENGTH else "its type"
        raise PoisonRecordError("unknown_type", f"{named} is no event of {record.topic}")
    try:
        return table, table.row(event, record.partition, record.offset)
    except UNFIT as error:
        # The error's own text may quote the payload; a missing field's name may not.
        what = (
            f"field {error.args[0]!r} is missing"
            if type(error) is KeyError
            else f"a field does not fit: {type(error).__name__}"
        )
        raise PoisonRecordError("bad_field", f"{kind}: {what}") from error


def _event_of(value: bytes | None) -> dict[str, Any]:
    if value is None:
        raise PoisonRecordError("empty", "the record has no value")
    try:
        event = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise PoisonRecordError("not_json", f"not JSON from character {error.pos}") from error
    if type(event) is not dict:
        raise PoisonRecordError("not_an_event", f"a JSON {type(event).__name__} is no event")
    return event


def _poison(record: Record, error: PoisonRecordError) -> Poison:
    return Poison(record.topic, record.partition, record.offset, error.reason, error.detail, _account_of(record.value))


def _account_of(value: bytes | None) -> str | None:
    try:
        account = orjson.loads(value or b"null")["account_id"]
    except (orjson.JSONDecodeError, TypeError, KeyError):
        return None
    return account if type(account) is str and 0 < len(account) <= 128 else None


def _set_unfit_rows_aside(table: Table, decoded: Decoded) -> None:
    """Check the table column by column; only where one does not fit, look for the rows that are to blame."""
    rows = decoded.rows[table.name]
    columns = zip(*rows, strict=True)
    if all(column.accepts_all(values) for column, values in zip(table.columns, columns, strict=False)):
        return
    kept: list[Row] = []
    for row in rows:
        unfit = next((c.name for c, value in zip(table.columns, row, strict=True) if not c.accepts(value)), None)
        if unfit is None:
            kept.append(row)
        else:
            decoded.poison.append(_unfit(table, row, unfit))
    decoded.rows[table.name] = kept


def _unfit(table: Table, row: Row, column: str) -> Poison:
    values = dict(zip(table.names, row, strict=True))
    account = values["account_id"]
    return Poison(
        table.topic,
        values["kafka_partition"],
        values["kafka_offset"],
        "bad_field",
        f"{values['type']}: {column} has a wrong type or is out of range",
        account if type(account) is str and 0 < len(account) <= 128 else None,
    )
