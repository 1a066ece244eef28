"""A file that a client uploads as a form: bounded in size and time, in memory only as long as it is small."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from python_multipart.exceptions import FormParserError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.types import Message

from services.edge.errors import BodyTimeoutError, BodyTooLargeError, ClientGoneError, InvalidRequestError

FORM_BYTES = 64 * 1024
"""What the form may be larger than the file in it."""
DRAINED_BYTES = 16 * 1024 * 1024
"""How much of a body that is too large is read and thrown away, so that its client hears why."""
READ_BYTES = 1024 * 1024
MAX_NAME = 255


@dataclass(frozen=True, slots=True)
class Upload:
    """The form: the file, and its texts by name."""

    file: UploadFile
    filename: str
    texts: dict[str, str]

    async def parts(self) -> AsyncIterator[bytes]:
        """The file's bytes."""
        while part := await self.file.read(READ_BYTES):
            yield part


class UploadReader:
    """Reads forms with one file of at most `limit_bytes`, whole within `timeout_s`."""

    def __init__(self, *, limit_bytes: int, timeout_s: float) -> None:
        self._limit_bytes = limit_bytes
        self._timeout_s = timeout_s

    @asynccontextmanager
    async def read(self, request: Request) -> AsyncIterator[Upload]:
        """The upload, on disk until the block ends. Raises an `ApiError`, :class:`ClientGoneError`."""
        bounded = Request(request.scope, _Bounded(request, self._limit_bytes + FORM_BYTES, self._limit_bytes))
        try:
            async with asyncio.timeout(self._timeout_s):
                form = await bounded.form(max_files=1, max_fields=16, max_part_size=FORM_BYTES)
        except TimeoutError:
            raise BodyTimeoutError(self._timeout_s) from None
        except HTTPException as error:
            raise _unreadable(error.detail) from None
        except MultiPartException as error:
            raise _unreadable(error.message) from None
        except FormParserError as error:
            raise _unreadable(str(error)) from None
        try:
            yield self._upload(dict(form.multi_items()))
        finally:
            await form.close()

    def _upload(self, items: dict[str, UploadFile | str]) -> Upload:
        file = items.get("file")
        if not isinstance(file, UploadFile):
            raise InvalidRequestError("missing_required_parameter", "'file' is required: a file in a form.", param="file")
        if (file.size or 0) > self._limit_bytes:
            raise BodyTooLargeError(self._limit_bytes)
        filename = file.filename or "file"
        if len(filename) > MAX_NAME or not filename.isprintable():
            raise InvalidRequestError("invalid_value", f"'file' takes a printable name of {MAX_NAME} characters.", param="file")
        return Upload(file, filename, {name: value for name, value in items.items() if isinstance(value, str)})


def _unreadable(why: str) -> InvalidRequestError:
    return InvalidRequestError("invalid_form", f"The form cannot be read: {why}")


class _Bounded:
    """A receive channel that ends with an error where the body grows too large or its client goes."""

    def __init__(self, request: Request, limit_bytes: int, told_bytes: int) -> None:
        self._receive = request.receive
        self._limit_bytes = limit_bytes
        self._told_bytes = told_bytes
        self._size = 0

    async def __call__(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        self._size += len(message.get("body", b""))
        if self._size > self._limit_bytes:
            await self._drain(more=message.get("more_body", False))
            raise BodyTooLargeError(self._told_bytes)
        return message

    async def _drain(self, *, more: bool) -> None:
        while more and self._size <= self._limit_bytes + DRAINED_BYTES:
            message = await self._receive()
            self._size += len(message.get("body", b""))
            more = message.get("more_body", False)
