"""Batches: the event that hands one over, and what edge and router tell each other about it."""

from typing import Annotated, Literal, get_args

from pydantic import Field

from schemas.calls import Policy, RouteLimit
from schemas.envelope import Contract, Event, Identifier, UtcDatetime
from schemas.files import FILE_ID
from schemas.requests import KeyRef

BATCH_PREFIX = "batch_"
BATCH_ID = r"batch_[0-9a-f]{32}"
BatchId = Annotated[str, Field(pattern=f"^{BATCH_ID}$")]
FileId = Annotated[str, Field(pattern=f"^{FILE_ID}$")]
BatchStatus = Literal["validating", "in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled"]
OnRefusal = Literal["continue", "stop"]
STATUSES: tuple[BatchStatus, ...] = get_args(BatchStatus)
ENDED: frozenset[BatchStatus] = frozenset(("completed", "failed", "expired", "cancelled"))


class BatchAcceptedData(Contract):
    """A batch that edge let in: a reference to the file of its requests, never their text.

    `repeat`: a line whose worker died is asked again. `on_refusal`: whether a line that cannot be paid stops the rest.
    """

    key: KeyRef
    batch_id: BatchId
    input_file_id: FileId
    endpoint: Identifier
    expires_at: UtcDatetime
    repeat: bool = False
    on_refusal: OnRefusal = "continue"


class BatchAccepted(Event):
    """Edge admitted the batch; router's batch worker takes it from here."""

    type: Literal["BatchAccepted"] = "BatchAccepted"
    data: BatchAcceptedData


class BatchError(Contract):
    """One of the reasons why a batch failed. `line` counts from 1."""

    code: Identifier
    message: str
    line: int | None = None
    param: str | None = None


class BatchProgress(Contract):
    """What router knows of a batch. `reached` is when each status was reached, in seconds of the epoch."""

    batch_id: BatchId
    status: BatchStatus
    total: Annotated[int, Field(ge=0)] = 0
    completed: Annotated[int, Field(ge=0)] = 0
    failed: Annotated[int, Field(ge=0)] = 0
    errors: list[BatchError] = Field(default_factory=list)
    output_file_id: FileId | None = None
    error_file_id: FileId | None = None
    reached: dict[BatchStatus, int] = Field(default_factory=dict)


class BatchProgressList(Contract):
    """Answer to `GET {router}/internal/batches?id=…&id=…`: those that router has heard of."""

    data: list[BatchProgress]


class LineCaller(Contract):
    """Answer to `GET {edge}/internal/keys/{key_id}/caller`: the key as it is now, within its run where one is named.

    From `expires_at` on it is no answer any more: edge has to be asked again.
    """

    account_id: Identifier
    key: KeyRef
    environment: Identifier
    policy: Policy
    route_limits: list[RouteLimit] = Field(default_factory=list)
    expires_at: UtcDatetime | None = None
