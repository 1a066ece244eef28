"""A batch in OpenAI's shape: what edge let in, and how far router is with it. Pure."""

from collections.abc import Mapping
from typing import Any

from schemas.batches import BatchAccepted, BatchProgress, BatchStatus
from services.edge.batch_bodies import WINDOW

CANCELLABLE: frozenset[BatchStatus] = frozenset(("validating", "in_progress"))
MOMENTS: tuple[BatchStatus, ...] = ("in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled")


def described(row: Mapping[str, Any], progress: BatchProgress | None) -> dict[str, Any]:
    """The batch. `progress` is None where router has not heard of it yet."""
    event = BatchAccepted.model_validate(row["event"])
    known = progress or BatchProgress(batch_id=row["batch_id"], status="validating")
    asked_at = row["cancel_asked_at"]
    cancelling = asked_at is not None and known.status in CANCELLABLE
    reached = dict(known.reached) | ({"cancelling": int(asked_at.timestamp())} if cancelling else {})
    errors = [error.model_dump() for error in known.errors]
    return {
        "id": row["batch_id"],
        "object": "batch",
        "endpoint": event.data.endpoint,
        "errors": {"object": "list", "data": errors} if errors else None,
        "input_file_id": event.data.input_file_id,
        "completion_window": row.get("completion_window", WINDOW),
        "status": "cancelling" if cancelling else known.status,
        "output_file_id": known.output_file_id,
        "error_file_id": known.error_file_id,
        "created_at": int(row["created_at"].timestamp()),
        "expires_at": int(event.data.expires_at.timestamp()),
        **{f"{status}_at": reached.get(status) for status in MOMENTS},
        "request_counts": {"total": known.total, "completed": known.completed, "failed": known.failed},
        "metadata": row["metadata"] or None,
        "run_id": event.run_id,
    }


def may_cancel(progress: BatchProgress | None) -> bool:
    """Whether lines of the batch may still be left unbegun."""
    return progress is None or progress.status in CANCELLABLE | {"cancelling"}
