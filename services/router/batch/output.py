"""The files that a batch leaves: answers in one, errors in the other, in the order of its lines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

from schemas.envelope import now
from schemas.files import StoredFile, content_path, line_path, new_file_id, record_path
from services.router.batch.identities import request_id
from services.router.batch.lifecycle import UNBEGUN, Stopped
from services.router.batch.object_store import Objects
from services.router.batch.results import LOST, LOST_MESSAGE, Ended, error_entry, unpacked
from services.router.batch.source import Source

READ_AT_ONCE = 32


class Finished(NamedTuple):
    """A batch whose lines are over: what is needed to write its files."""

    batch_id: str
    project_id: str
    stopped: Stopped | None
    source: Source
    ends: Sequence[Ended]


def new_files(ends: Sequence[Ended], total: int) -> tuple[str | None, str | None]:
    """Ids for the output and the error file; None for one that would be empty."""
    last = {end.line: end for end in ends}
    completed = sum(1 for end in last.values() if end.outcome == "completed")
    return (new_file_id() if completed else None, new_file_id() if completed < total else None)


async def write_files(objects: Objects, finished: Finished, files: tuple[str | None, str | None]) -> None:
    """Write both files, content first. Doing it again writes the same."""
    for file_id, succeeded in zip(files, (True, False), strict=True):
        if file_id is not None:
            await _write(objects, finished, file_id, succeeded=succeeded)


async def _write(objects: Objects, finished: Finished, file_id: str, *, succeeded: bool) -> None:
    parts = _entries(objects, finished, succeeded=succeeded)
    size = await objects.write_parts(content_path(finished.project_id, file_id), parts)
    record = StoredFile(
        id=file_id,
        project_id=finished.project_id,
        bytes=size,
        created_at=int(now().timestamp()),
        filename=f"{finished.batch_id}_{'output' if succeeded else 'errors'}.jsonl",
        purpose="batch_output",
    )
    await objects.write(record_path(finished.project_id, file_id), record.to_json())


async def _entries(objects: Objects, finished: Finished, *, succeeded: bool) -> AsyncIterator[bytes]:
    last: dict[int, Ended] = {end.line: end for end in finished.ends}
    numbers = [
        number
        for number in range(1, finished.source.total + 1)
        if (number in last and last[number].outcome == "completed") is succeeded
    ]
    for first in range(0, len(numbers), READ_AT_ONCE):
        some = numbers[first : first + READ_AT_ONCE]
        entries = await asyncio.gather(*(_entry(objects, finished, number, last.get(number)) for number in some))
        yield b"".join(entry + b"\n" for entry in entries)


async def _entry(objects: Objects, finished: Finished, number: int, end: Ended | None) -> bytes:
    custom_id = finished.source.line(number).custom_id
    if end is None:
        assert finished.stopped is not None, "every line of a batch that was not stopped has an end"
        return error_entry(custom_id, request_id(finished.batch_id, number, 0), *UNBEGUN[finished.stopped])
    earlier = [request_id(finished.batch_id, number, repeat) for repeat in range(end.repeat)]
    if end.outcome != "lost":
        found = await objects.find(line_path(finished.batch_id, number, end.repeat))
        if found is not None:
            return unpacked(found).entry
    return error_entry(custom_id, end.request_id, LOST, LOST_MESSAGE, earlier)
