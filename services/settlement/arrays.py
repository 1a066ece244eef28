"""Array parameters: one value per column is the cheapest way to hand many rows to one statement.

Columns of many rows go in Postgres' own binary form, which it takes as it is; literals as text are read letter by letter.
Both leave the type to the statement's cast (`%(ids)s::uuid[]`), which for the binary form must be the one that is named here.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from struct import Struct, error
from uuid import UUID


class Packed(bytes):
    """An array in Postgres' binary form. The connection must know that it is one: see `database`."""

    __slots__ = ()


Column = Packed | str
"""An array in either form."""


_EMPTY = Struct("!iiI").pack
_HEAD = Struct("!iiIii").pack
_SMALLINT, _INTEGER, _BIGINT = Struct("!ih").pack, Struct("!ii").pack, Struct("!iq").pack
_SIZE = Struct("!i").pack
_UUID_SIZE, _NULL = _SIZE(16), _SIZE(-1)
_OIDS = {"bigint": 20, "smallint": 21, "integer": 23, "text": 25, "uuid": 2950}


def plain(values: Iterable[object]) -> str:
    """Numbers and words as a literal: values whose text needs no quotes. None is NULL."""
    return "{" + ",".join(["NULL" if value is None else str(value) for value in values]) + "}"


def texts(values: Iterable[str | None]) -> str:
    """Texts as a literal, quoted. None is NULL; a text with a NUL character must have been refused before."""
    return "{" + ",".join(["NULL" if value is None else _quoted(value) for value in values]) + "}"


def uuids(values: Iterable[UUID | None]) -> Packed:
    """`uuid[]`."""
    return _array("uuid", [_NULL if value is None else _UUID_SIZE + value.int.to_bytes(16, "big") for value in values])


def words(values: Iterable[str | None]) -> Packed:
    """`text[]`. A text with a NUL character must have been refused before."""
    found: dict[str | None, bytes] = {None: _NULL}
    return _array("text", [found.get(value) or found.setdefault(value, _word(value or "")) for value in values])


def bigints(values: Iterable[int | None]) -> Column:
    """`bigint[]`."""
    return _numbers("bigint", _BIGINT, 8, list(values))


def integers(values: Iterable[int | None]) -> Column:
    """`integer[]`."""
    return _numbers("integer", _INTEGER, 4, list(values))


def smallints(values: Iterable[int | None]) -> Column:
    """`smallint[]`."""
    return _numbers("smallint", _SMALLINT, 2, list(values))


def packed(values: Sequence[bytes]) -> tuple[bytes, Column, Column]:
    """Long texts end to end, and where each begins (from 1) and its size: nothing need be quoted, nor read again as quoted."""
    sizes = [len(value) for value in values]
    return b"".join(values), integers(accumulate(sizes[:-1], initial=1)), integers(sizes)


def _array(element: str, elements: Sequence[bytes]) -> Packed:
    """One dimension, counted from 1. That there may be NULLs is always said: Postgres looks for itself."""
    if not elements:
        return Packed(_EMPTY(0, 0, _OIDS[element]))
    return Packed(b"".join((_HEAD(1, 1, _OIDS[element], len(elements), 1), *elements)))


def _numbers(element: str, pack: Callable[[int, int], bytes], size: int, values: Sequence[int | None]) -> Column:
    """A number that the type cannot hold is Postgres' to refuse, as every other value is."""
    try:
        return _array(element, [_NULL if value is None else pack(size, value) for value in values])
    except error:
        return plain(values)


def _word(value: str) -> bytes:
    found = value.encode()
    return _SIZE(len(found)) + found


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
