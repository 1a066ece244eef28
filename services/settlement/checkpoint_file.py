"""Checkpoints kept in a file: one JSON line each, appended and synced, never rewritten.

Keep it, or a copy of it, where whoever can write to the database cannot.
"""

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from services.settlement.errors import BrokenSealError

TAIL_BYTES = 16_384


class CheckpointFile:
    """One file, written by one sealer at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def last_size(self) -> int:
        """The size of the last checkpoint in the file, 0 where there is none. Raises BrokenSealError, OSError."""
        try:
            with self._path.open("rb") as file:
                file.seek(max(file.seek(0, os.SEEK_END) - TAIL_BYTES, 0))
                lines = file.read().splitlines(keepends=True)
        except FileNotFoundError:
            return 0
        whole = [line for line in lines if line.endswith(b"\n")]
        return _read(whole[-1], self._path)[0] if whole else 0

    def append(self, checkpoints: Iterable[tuple[int, str]]) -> None:
        """Add checkpoints and wait until they are on the disk. A line that a crash cut off is removed first. Raises OSError."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        new = not self._path.exists()
        with self._path.open("ab+") as file:
            file.truncate(_whole(file.seek(0, os.SEEK_END), self._path))
            for size, note in checkpoints:
                file.write(json.dumps({"size": size, "note": note}, ensure_ascii=False).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        if new:
            _sync_directory(self._path.parent)


def read_checkpoints(path: Path) -> Iterator[tuple[int, str]]:
    """Every checkpoint in the file, oldest first; a last line that was cut off is left out. Raises BrokenSealError, OSError."""
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield _read(line, path)


def _read(line: bytes, path: Path) -> tuple[int, str]:
    try:
        found = json.loads(line)
        size, note = found["size"], found["note"]
    except (ValueError, KeyError, TypeError) as error:
        raise BrokenSealError(f"{path} has a line that is no checkpoint") from error
    if not isinstance(size, int) or not isinstance(note, str):
        raise BrokenSealError(f"{path} has a line that is no checkpoint")
    return size, note


def _whole(end: int, path: Path) -> int:
    """Where the last whole line ends."""
    with path.open("rb") as file:
        start = max(end - TAIL_BYTES, 0)
        file.seek(start)
        tail = file.read()
    return start + tail.rfind(b"\n") + 1 if b"\n" in tail else start


def _sync_directory(directory: Path) -> None:
    """A new file's name is on the disk only when its directory is."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
