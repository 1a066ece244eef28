"""One partition's records in one file: compressed, each with its offset, time, key, value and headers.

A record is a head of lengths, then the bytes; -1 is the length of what is absent. Nothing is interpreted, so that a record
which nobody can read is kept like any other.
"""

import gzip
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from deploy.local.backup.errors import BrokenBackupError

MAGIC = b"tollbook-records/1\n"
HEAD = struct.Struct(">qqiiH")
HEADER = struct.Struct(">Hi")
LEVEL = 1
"""The fastest: JSON shrinks to a fifth already."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A record as Kafka has it. `timestamp_ms` is the producer's."""

    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]


class Writable(Protocol):
    """What records are written to."""

    def write(self, data: bytes, /) -> object:
        """Append the bytes."""
        ...


class Readable(Protocol):
    """What records are read from."""

    def read(self, size: int, /) -> bytes:
        """The next bytes, fewer at the end."""
        ...


class RecordWriter:
    """Appends records to a file that did not exist."""

    def __init__(self, file: Writable) -> None:
        self._file = file
        self.records = 0

    def add(self, record: Kept) -> None:
        """Append one record."""
        parts = [HEAD.pack(record.offset, record.timestamp_ms, _size(record.key), _size(record.value), len(record.headers))]
        parts += [record.key or b"", record.value or b""]
        for name, value in record.headers:
            encoded = name.encode()
            parts += [HEADER.pack(len(encoded), _size(value)), encoded, value or b""]
        self._file.write(b"".join(parts))
        self.records += 1


@contextmanager
def writing(path: Path) -> Iterator[RecordWriter]:
    """Write the file of one partition; it is whole when the block has ended."""
    with path.open("xb") as raw, gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=LEVEL, mtime=0, filename="") as file:
        file.write(MAGIC)
        yield RecordWriter(file)


def reading(path: Path) -> Iterator[Kept]:
    """Every record of the file, in order. Raises BrokenBackupError for a file that is cut off or no such file."""
    try:
        with gzip.open(path, "rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise BrokenBackupError(f"{path} holds no records of a backup")
            while head := file.read(HEAD.size):
                yield _record(file, head)
    except (EOFError, gzip.BadGzipFile, struct.error) as error:
        raise BrokenBackupError(f"{path} is damaged: {error}") from error


def _record(file: Readable, head: bytes) -> Kept:
    offset, timestamp_ms, key_size, value_size, count = HEAD.unpack(head)
    key, value = _bytes(file, key_size), _bytes(file, value_size)
    headers = []
    for _ in range(count):
        name_size, size = HEADER.unpack(file.read(HEADER.size))
        name = _bytes(file, name_size) or b""
        headers.append((name.decode(), _bytes(file, size)))
    return Kept(offset, timestamp_ms, key, value, headers)


def _size(value: bytes | None) -> int:
    return -1 if value is None else len(value)


def _bytes(file: Readable, size: int) -> bytes | None:
    if size < 0:
        return None
    found = file.read(size)
    if len(found) != size:
        raise EOFError("a record is cut off")
    return found
