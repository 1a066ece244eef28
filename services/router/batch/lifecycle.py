"""The life of a batch: which status follows which, and why no more of its lines are begun. Pure.

validating ──> in_progress ──────────────> finalizing ──> completed | expired | failed
    │               │                          ▲
    ├─> failed      └──> cancelling ──> cancelled
    └─> cancelling, expired
"""

from __future__ import annotations

from typing import Literal

from schemas.batches import BatchStatus

Stopped = Literal["expired", "cancelled", "failed"]
FOLLOWS: dict[BatchStatus, frozenset[BatchStatus]] = {
    "validating": frozenset({"in_progress", "failed", "cancelling", "expired"}),
    "in_progress": frozenset({"finalizing", "cancelling", "failed"}),
    "cancelling": frozenset({"cancelled", "failed"}),
    "finalizing": frozenset({"completed", "expired", "failed"}),
    "completed": frozenset(),
    "failed": frozenset(),
    "expired": frozenset(),
    "cancelled": frozenset(),
}


def may_follow(status: BatchStatus, following: BatchStatus) -> bool:
    """Whether a batch may go from one status to the other."""
    return following in FOLLOWS[status]


def after_lines(stopped: Stopped | None) -> BatchStatus:
    """The status in which the files are written, once no more lines are begun and none is under way."""
    return "cancelling" if stopped == "cancelled" else "finalizing"


def after_files(stopped: Stopped | None) -> BatchStatus:
    """The status of a batch whose files are written."""
    return "completed" if stopped is None else stopped


UNBEGUN: dict[Stopped, tuple[str, str]] = {
    "expired": ("batch_expired", "The batch's window ended before this request was begun."),
    "cancelled": ("batch_cancelled", "The batch was cancelled before this request was begun."),
    "failed": ("batch_stopped", "The batch was stopped before this request was begun; the batch's errors say why."),
}
"""The error of a line that was never begun."""
