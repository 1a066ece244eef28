"""Money moves once per key, for ever: the same key and body give the stored answer, another body is a conflict and an alert."""

from collections.abc import Callable
from typing import Any

import psycopg
import structlog
from psycopg.rows import TupleRow

from services.settlement import metrics
from services.settlement.errors import ApiError, ConflictError, UnavailableError
from services.settlement.statements import statements

log = structlog.get_logger(__name__)
Answer = dict[str, Any]


def once(
    connection: psycopg.Connection[TupleRow], idem_key: str, request_hash: bytes, post: Callable[[], Answer]
) -> tuple[Answer, bool]:
    """What `post` answers from within a transaction, and True; or the answer that is stored under the key, and False.

    Raises ConflictError where the key was used with another body, and whatever `post` raises.
    """
    for _ in range(2):
        found = stored(connection, idem_key, request_hash)
        if found is not None:
            return found, False
        try:
            with connection.transaction():
                answer = post()
        except psycopg.errors.UniqueViolation:
            continue  # it was posted between looking and writing: the next round finds it
        except ConflictError:
            # Or while this one waited for the bucket: then it is no conflict that nothing was left for it.
            found = stored(connection, idem_key, request_hash)
            if found is None:
                raise
            return found, False
        metrics.CORRECTIONS.labels(idem_key.partition(":")[0]).inc()
        return answer, True
    raise UnavailableError("the same key is being posted by somebody else: ask again")


def refuse_unless_posted(
    connection: psycopg.Connection[TupleRow], idem_key: str, request_hash: bytes, refusal: ApiError | None
) -> None:
    """Raise the refusal, unless the same was posted before: then the stored answer is still what it is answered with."""
    if refusal is not None and stored(connection, idem_key, request_hash) is None:
        raise refusal


def stored(connection: psycopg.Connection[TupleRow], idem_key: str, request_hash: bytes) -> Answer | None:
    """The answer under a key, None where there is none. Raises ConflictError for another body."""
    row = connection.execute(statements("admin.sql")["txn_by_key"], {"idem_key": idem_key}).fetchone()
    if row is None:
        return None
    if bytes(row[1]) != request_hash:
        kind, _, key = idem_key.partition(":")
        metrics.IDEMPOTENCY_CONFLICTS.labels(kind).inc()
        log.error("idempotency_conflict", kind=kind, key=key)
        raise ConflictError(f"the key {key} was used before for another {kind}: nothing was posted, use a new key")
    answer: Answer = row[2]
    return answer
