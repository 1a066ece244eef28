"""Where files lie in object storage: the one thing that edge, which takes and gives them, and router's batch worker share."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from schemas.envelope import Contract, Identifier, new_id

FILE_PREFIX = "file-"
FILE_ID = r"file-[0-9a-f]{32}"
Purpose = Literal["batch", "batch_output"]


class StoredFile(Contract):
    """A file's record: written after its content, so that what has a record is whole. `created_at` in seconds of the epoch."""

    id: Annotated[str, Field(pattern=f"^{FILE_ID}$")]
    project_id: Identifier
    bytes: Annotated[int, Field(ge=0)]
    created_at: int
    filename: Annotated[str, Field(max_length=255)]
    purpose: Purpose


def new_file_id(from_id: UUID | None = None) -> str:
    """An id of a file: ordered by time, like the identifier that it is made of."""
    return FILE_PREFIX + (from_id or new_id()).hex


def files_prefix(project_id: str) -> str:
    """Where all of a project's files lie."""
    return f"files/{project_id}"


def record_path(project_id: str, file_id: str) -> str:
    """Where a file's :class:`StoredFile` lies, as JSON."""
    return f"{files_prefix(project_id)}/{file_id}/record.json"


def content_path(project_id: str, file_id: str) -> str:
    """Where a file's bytes lie."""
    return f"{files_prefix(project_id)}/{file_id}/content"


def input_path(batch_id: str) -> str:
    """Where a batch's own copy of its input lies until the batch has ended: its file may be deleted meanwhile."""
    return f"batches/{batch_id}/input"


def line_path(batch_id: str, line: int, repeat: int) -> str:
    """Where the result of a line of a batch lies until the batch's files are written."""
    return f"batches/{batch_id}/{line:06d}-{repeat}.json"
