"""Ids that follow from batch and line: whoever works on a line again asks for the same request and the same holds. Pure."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from uuid import UUID, uuid5

_LINES = UUID("6f1c2e0a-7b7d-4d53-9c57-5f7f1a1b8a3e")


def request_id(batch_id: str, line: int, repeat: int) -> UUID:
    """The request that a line is, the first time (0) or repeated."""
    return uuid5(_LINES, f"{batch_id}/{line}/{repeat}")


def hold_ids(request: UUID) -> Callable[[], UUID]:
    """The ids of a request's holds, one after the other."""
    numbers = count()
    return lambda: uuid5(request, f"hold/{next(numbers)}")


def claimant(worker: str, epoch: int) -> str:
    """Who claims: a worker under one of its leases. The same worker under a later lease is another claimant."""
    return f"{worker}/{epoch}"
