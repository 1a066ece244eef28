"""ClickHouse's Native format as a client of a newer protocol expects it over HTTP. Pure.

The engine writes blocks of revision 0. A client that names its revision (`client_protocol_version`) reads a block's info before
each block, and from revision 54454 on one more byte per column, which says that it is serialised in no special way. Where a
column ends follows from its type; the library parses the types.
"""

from typing import Any

from clickhouse_connect.datatypes import registry

BLOCK_INFO = bytes((1, 0, 2, 0xFF, 0xFF, 0xFF, 0xFF, 0))
"""Field 1: not an overflow block; field 2: bucket -1; end."""
CUSTOM_SERIALIZATION_REVISION = 54454
PLAIN_SERIALIZATION = b"\x00"
UINT64 = 8


class NoFrameError(Exception):
    """A column of a type whose bytes this module cannot measure: ask for it as a text."""

    def __init__(self, type_name: str) -> None:
        super().__init__(
            f"columns of the type {type_name} cannot be sent in the Native format: use toString(…) or another format"
        )


def for_revision(data: bytes, revision: int) -> bytes:
    """Blocks of revision 0 as blocks of the given revision. Raises :class:`NoFrameError`."""
    if revision <= 0:
        return data
    flag = PLAIN_SERIALIZATION if revision >= CUSTOM_SERIALIZATION_REVISION else b""
    view = memoryview(data)
    made: list[bytes | memoryview] = []
    at = 0
    while at < len(data):
        begin = at
        columns, at = _number(data, at)
        rows, at = _number(data, at)
        made += (BLOCK_INFO, view[begin:at])
        for _ in range(columns):
            begin = at
            _, at = _text(data, at)
            type_name, at = _text(data, at)
            made += (view[begin:at], flag)
            begin, at = at, _end_of_column(data, at, type_name, rows)
            made.append(view[begin:at])
    return b"".join(made)


def _end_of_column(data: bytes, at: int, type_name: str, rows: int) -> int:
    if rows == 0:
        return at
    column: Any = registry.get_from_name(type_name)
    return _values(column, data, _prefix(column, at), rows)


def _parts(column: Any) -> list[Any]:
    """What a container holds, in the order in which it is written; none for a plain type."""
    kind = type(column).__name__
    if kind == "Array":
        return [column.element_type]
    if kind == "Map":
        return [column.key_type, column.value_type]
    if kind in {"Tuple", "Nested", "Point"}:
        return list(column.element_types)
    if kind == "SimpleAggregateFunction":
        return [column.element_type]
    return []


def _prefix(column: Any, at: int) -> int:
    """Behind the versions of the dictionaries that the column uses, which come before all its values."""
    parts = _parts(column)
    for part in parts:
        at = _prefix(part, at)
    return at if parts or not column.low_card else at + UINT64


def _values(column: Any, data: bytes, at: int, rows: int) -> int:
    if rows == 0:
        return at
    kind = type(column).__name__
    if column.low_card:
        return _dictionary(column, data, at)
    if column.nullable:
        at += rows
    parts = _parts(column)
    if kind in {"Array", "Map", "Nested"}:
        last = at + (rows - 1) * UINT64
        at, rows = last + UINT64, int.from_bytes(data[last : last + UINT64], "little")
    if parts:
        for part in parts:
            at = _values(part, data, at, rows)
        return at
    return _plain(column, kind, data, at, rows)


def _plain(column: Any, kind: str, data: bytes, at: int, rows: int) -> int:
    if kind == "String":
        for _ in range(rows):
            size, at = _number(data, at)
            at += size
        return at
    if not column.byte_size:
        raise NoFrameError(column.name)
    return at + rows * int(column.byte_size)


def _dictionary(column: Any, data: bytes, at: int) -> int:
    key_size = 2 ** (data[at] & 0xFF)
    entries = int.from_bytes(data[at + UINT64 : at + 2 * UINT64], "little")
    at = _plain(column, type(column).__name__, data, at + 2 * UINT64, entries)
    keys = int.from_bytes(data[at : at + UINT64], "little")
    end: int = at + UINT64 + keys * key_size
    return end


def _number(data: bytes, at: int) -> tuple[int, int]:
    """A number in LEB128, and where it ends."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _text(data: bytes, at: int) -> tuple[str, int]:
    size, at = _number(data, at)
    return data[at : at + size].decode(), at + size
