"""Object storage as the batch worker uses it: whole objects that are written once, and long ones read and written in parts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore, ObjectStore, from_url

from services.router.errors import StorageUnavailableError

CHUNK_BYTES = 1024 * 1024
DELETED_AT_ONCE = 500


class Objects:
    """A store behind a URL. Whatever keeps it from answering becomes :class:`StorageUnavailableError`."""

    def __init__(self, url: str) -> None:
        self._store = open_store(url)

    async def find(self, path: str) -> bytes | None:
        """An object, None where there is none."""
        with _translated():
            try:
                return bytes(await (await self._store.get_async(path)).bytes_async())
            except FileNotFoundError:
                return None

    async def create(self, path: str, body: bytes) -> bool:
        """Write an object that nobody has written yet; False where somebody has, whose object then stays."""
        with _translated():
            try:
                await self._store.put_async(path, body, mode="create")
            except AlreadyExistsError:
                return False
            return True

    async def write(self, path: str, body: bytes) -> None:
        """Write an object, whatever was there."""
        with _translated():
            await self._store.put_async(path, body)

    async def copy(self, path: str, to: str) -> bool:
        """Copy an object within the store; False where there is none."""
        with _translated():
            try:
                await self._store.copy_async(path, to)
            except FileNotFoundError:
                return False
            return True

    async def copy_to(self, path: str, file: IO[bytes]) -> bool:
        """Copy an object into a file; False where there is none."""
        with _translated():
            try:
                found = await self._store.get_async(path)
            except FileNotFoundError:
                return False
            async for chunk in found.stream(min_chunk_size=CHUNK_BYTES):
                file.write(chunk)
        file.flush()
        return True

    async def write_parts(self, path: str, parts: AsyncIterator[bytes]) -> int:
        """Write a long object from its parts; how many bytes they were. Nothing is there until all of it is."""
        size = 0

        async def counted() -> AsyncIterator[bytes]:
            nonlocal size
            async for part in parts:
                size += len(part)
                yield part

        with _translated():
            await self._store.put_async(path, counted())
        return size

    async def delete_under(self, prefix: str) -> None:
        """Delete every object under a prefix."""
        with _translated():
            while True:
                listed = await self._store.list(prefix, chunk_size=DELETED_AT_ONCE).collect_async()
                paths = [each["path"] for each in listed[:DELETED_AT_ONCE]]
                if not paths:
                    return
                await self._store.delete_async(paths)


def open_store(url: str) -> ObjectStore:
    """The store that a URL names. A directory is made where it is missing; credentials of others come from the environment."""
    if url.startswith("file://"):
        directory = Path(url.removeprefix("file://"))
        return LocalStore(directory, mkdir=True)
    return from_url(url)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (BaseError, OSError) as exc:
        raise StorageUnavailableError(f"object storage did not answer: {type(exc).__name__}") from exc
