"""Files in object storage: content first, its record last, so that what has a record is whole."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, from_url
from pydantic import ValidationError

from schemas.files import Purpose, StoredFile, content_path, files_prefix, record_path
from services.edge.errors import StoreUnavailableError

CHUNK_BYTES = 1024 * 1024


class FileStore:
    """A project's files. Whatever keeps the store from answering becomes :class:`StoreUnavailableError`."""

    def __init__(self, url: str) -> None:
        self._store = open_store(url)

    async def write_content(self, project_id: str, file_id: str, parts: AsyncIterator[bytes]) -> int:
        """Write a file's bytes from its parts; how many they were. Nothing shows before :meth:`write_record`."""
        size = 0

        async def counted() -> AsyncIterator[bytes]:
            nonlocal size
            async for part in parts:
                size += len(part)
                yield part

        with _translated():
            await self._store.put_async(content_path(project_id, file_id), counted())
        return size

    async def write_record(self, file: StoredFile) -> None:
        """Make the file show."""
        with _translated():
            await self._store.put_async(record_path(file.project_id, file.id), file.to_json())

    async def find(self, project_id: str, file_id: str) -> StoredFile | None:
        """The file's record, None where the project has none of that id."""
        with _translated():
            try:
                found = await self._store.get_async(record_path(project_id, file_id))
                return StoredFile.model_validate_json(bytes(await found.bytes_async()))
            except FileNotFoundError:
                return None
            except ValidationError as error:
                raise StoreUnavailableError("a file's record cannot be read") from error

    async def content(self, project_id: str, file_id: str) -> AsyncIterator[bytes]:
        """The file's bytes in chunks."""
        with _translated():
            found = await self._store.get_async(content_path(project_id, file_id))
            async for chunk in found.stream(min_chunk_size=CHUNK_BYTES):
                yield bytes(chunk)

    async def ids(self, project_id: str) -> list[str]:
        """The ids of everything that was begun to be stored for the project, the oldest first."""
        with _translated():
            listed = await self._store.list_with_delimiter_async(files_prefix(project_id))
        return sorted(prefix.rsplit("/", 1)[1] for prefix in listed["common_prefixes"])

    async def page(
        self, project_id: str, *, after: str | None, limit: int, newest_first: bool, purpose: Purpose | None
    ) -> list[StoredFile]:
        """Files after an id, at most `limit`."""
        ids = await self.ids(project_id)
        if newest_first:
            ids.reverse()
        if after is not None:
            ids = [each for each in ids if (each < after if newest_first else each > after)]
        found: list[StoredFile] = []
        for file_id in ids:
            file = await self.find(project_id, file_id)
            if file is not None and purpose in (None, file.purpose):
                found.append(file)
                if len(found) == limit:
                    break
        return found

    async def delete(self, project_id: str, file_id: str) -> None:
        """Delete the file: its record first. Doing it again changes nothing."""
        for path in (record_path(project_id, file_id), content_path(project_id, file_id)):
            with _translated():
                try:
                    await self._store.delete_async(path)
                except FileNotFoundError:
                    continue


def open_store(url: str) -> ObjectStore:
    """The store that a URL names. A directory is made where it is missing; credentials of others come from the environment."""
    if url.startswith("file://"):
        return LocalStore(Path(url.removeprefix("file://")), mkdir=True)
    return from_url(url)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (BaseError, OSError) as error:
        raise StoreUnavailableError(f"object storage did not answer: {type(error).__name__}") from error
