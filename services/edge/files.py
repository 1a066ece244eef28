"""`/v1/files`: what batches are made of and what they leave. A key sees the files of its project."""

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from schemas.envelope import now
from schemas.files import FILE_ID, Purpose, StoredFile, new_file_id
from services.edge.caller import Caller
from services.edge.errors import InvalidRequestError, NotFoundError
from services.edge.file_store import FileStore
from services.edge.replies import Reply, json_reply
from services.edge.run_bodies import parse_query
from services.edge.uploads import UploadReader

KNOWN_TEXTS = frozenset({"purpose"})
_FILE_ID = re.compile(FILE_ID)


class FilesQuery(BaseModel):
    """Query of `GET /v1/files`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    purpose: Purpose | None = None
    limit: Annotated[int, Field(ge=1, le=1_000)] = 100
    order: Literal["asc", "desc"] = "desc"
    after: Annotated[str, Field(max_length=64)] | None = None


class Files:
    """Answers for the key that asks."""

    def __init__(self, store: FileStore, uploads: UploadReader) -> None:
        self._store = store
        self._uploads = uploads

    async def uploaded(self, request: Request, caller: Caller) -> Reply:
        """`POST /v1/files`: a form with `purpose` and `file`."""
        async with self._uploads.read(request) as upload:
            for name in upload.texts.keys() - KNOWN_TEXTS:
                message = f"'{name[:64]}' is not a parameter of this call."
                raise InvalidRequestError("unknown_parameter", message, param=name[:64])
            if upload.texts.get("purpose") != "batch":
                raise InvalidRequestError(
                    "invalid_value", "'purpose' must be batch: files serve batches alone.", param="purpose"
                )
            file_id, project_id = new_file_id(), caller.key.project_id
            size = await self._store.write_content(project_id, file_id, upload.parts())
            file = StoredFile(
                id=file_id,
                project_id=project_id,
                bytes=size,
                created_at=int(now().timestamp()),
                filename=upload.filename,
                purpose="batch",
            )
            await self._store.write_record(file)
        return json_reply(shown(file))

    async def listed(self, request: Request, caller: Caller) -> Reply:
        """`GET /v1/files?purpose=&limit=&order=&after=`."""
        query = parse_query(FilesQuery, request)
        page = await self._store.page(
            caller.key.project_id,
            after=query.after,
            limit=query.limit + 1,
            newest_first=query.order == "desc",
            purpose=query.purpose,
        )
        data = [shown(file) for file in page[: query.limit]]
        ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {"first_id": None, "last_id": None}
        return json_reply({"object": "list", "data": data, "has_more": len(page) > query.limit, **ends})

    async def shown(self, request: Request, caller: Caller) -> Reply:
        """`GET /v1/files/{id}`."""
        return json_reply(shown(await self.find(caller, request.path_params["file_id"])))

    async def content(self, request: Request, caller: Caller) -> "FileReply":
        """`GET /v1/files/{id}/content`."""
        return FileReply(self._store, await self.find(caller, request.path_params["file_id"]))

    async def deleted(self, request: Request, caller: Caller) -> Reply:
        """`DELETE /v1/files/{id}`."""
        file = await self.find(caller, request.path_params["file_id"])
        await self._store.delete(file.project_id, file.id)
        return json_reply({"id": file.id, "object": "file", "deleted": True})

    async def find(self, caller: Caller, file_id: str, *, param: str = "id") -> StoredFile:
        """A file of the caller's project. Raises :class:`NotFoundError`."""
        file = await self._store.find(caller.key.project_id, file_id) if _FILE_ID.fullmatch(file_id) else None
        if file is None:
            raise NotFoundError("file_not_found", f"There is no file {file_id[:64]!r}.", param=param)
        return file


class FileReply(Reply):
    """A file's bytes as they are read. A store that breaks off in the middle makes the server cut the connection."""

    def __init__(self, store: FileStore, file: StoredFile) -> None:
        length = (b"content-length", str(file.bytes).encode())
        super().__init__(200, b"", [(b"content-type", b"application/octet-stream"), length])
        self._store = store
        self._file = file

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        begun = False
        async for chunk in self._store.content(self._file.project_id, self._file.id):
            if not begun:
                await send({"type": "http.response.start", "status": self.status, "headers": list(self.headers)})
                begun = True
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        if not begun:
            await send({"type": "http.response.start", "status": self.status, "headers": list(self.headers)})
        await send({"type": "http.response.body", "body": b""})


def shown(file: StoredFile) -> dict[str, Any]:
    """The file in OpenAI's shape."""
    return {
        "id": file.id,
        "object": "file",
        "bytes": file.bytes,
        "created_at": file.created_at,
        "expires_at": None,
        "filename": file.filename,
        "purpose": file.purpose,
        "status": "processed",
        "status_details": None,
    }
