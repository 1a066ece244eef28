"""What an array parameter says, read back from Postgres' binary form."""

from struct import unpack_from
from typing import Any
from uuid import UUID

from services.settlement.arrays import Packed

READ: dict[int, Any] = {
    20: lambda data: int.from_bytes(data, "big", signed=True),
    21: lambda data: int.from_bytes(data, "big", signed=True),
    23: lambda data: int.from_bytes(data, "big", signed=True),
    25: bytes.decode,
    2950: lambda data: UUID(bytes=data),
}
"""By the oid of the element's type."""


def column(array: Any) -> list[Any]:
    """The values of one array."""
    assert isinstance(array, Packed)
    if array[:4] == bytes(4):
        return []
    dimensions, _, oid, length, first = unpack_from("!iiIii", array)
    assert (dimensions, first) == (1, 1)
    at, values = 20, []
    for _ in range(length):
        (size,) = unpack_from("!i", array, at)
        at += 4
        values.append(None if size < 0 else READ[oid](array[at : at + size]))
        at += max(size, 0)
    assert at == len(array)
    return values


def columns_of(parameters: Any) -> dict[str, Any]:
    """Every array of a statement's parameters; what is no array stays as it is."""
    return {name: column(value) if isinstance(value, Packed) else value for name, value in parameters.items()}
