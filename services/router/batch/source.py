"""The file of a batch on this machine, while the batch is worked on: checked once, then read line by line by its offsets."""

from __future__ import annotations

import os
import tempfile
from typing import IO

from schemas.batches import BatchAccepted, BatchError
from schemas.files import content_path, input_path
from services.router.batch.lines import FileCheck, Line, read_line
from services.router.batch.object_store import Objects


class Source:
    """A copy without a name, which the system deletes with the process: prompts do not stay behind."""

    def __init__(self, file: IO[bytes], endpoint: str, spans: list[tuple[int, int]]) -> None:
        self._file = file
        self._endpoint = endpoint
        self._spans = spans

    @property
    def total(self) -> int:
        """How many requests the file holds."""
        return len(self._spans)

    def line(self, number: int) -> Line:
        """A request of a file that was found good; numbers count from 1."""
        start, size = self._spans[number - 1]
        return read_line(os.pread(self._file.fileno(), size, start), self._endpoint)

    def close(self) -> None:
        """Let the copy go."""
        self._file.close()


async def open_source(objects: Objects, event: BatchAccepted, *, first: bool) -> tuple[Source, list[BatchError]]:
    """The batch's file, and what is wrong with it; the first time its own copy is made.

    Raises :class:`StorageUnavailableError`.
    """
    file = tempfile.TemporaryFile(prefix="tollbook-batch-")  # noqa: SIM115 - it is closed with the source
    try:
        check = FileCheck(event.data.endpoint)
        if await _own_copy(objects, event, first=first) and await objects.copy_to(input_path(event.data.batch_id), file):
            _read(file, check)
        else:
            message = "The batch's file does not exist any more."
            check.errors.append(BatchError(code="input_file_not_found", message=message, param="input_file_id"))
    except BaseException:
        file.close()
        raise
    return Source(file, event.data.endpoint, check.spans), check.errors


async def _own_copy(objects: Objects, event: BatchAccepted, *, first: bool) -> bool:
    data = event.data
    return not first or await objects.copy(content_path(data.key.project_id, data.input_file_id), input_path(data.batch_id))


def _read(file: IO[bytes], check: FileCheck) -> None:
    file.seek(0)
    start = 0
    for raw in file:
        if not check.take(start, raw):
            break
        start += len(raw)
    check.end()
