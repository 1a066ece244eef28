"""Events that Kafka could not take: kept in Postgres until a relay has published them."""

import time
from collections.abc import Sequence

import psycopg
from psycopg.rows import TupleRow

from schemas import topics
from schemas.calls import IngressEvent
from services.settlement.arrays import texts, uuids
from services.settlement.errors import InvalidError, UnavailableError
from services.settlement.statements import statement

TOPICS = frozenset({topics.REQUESTS, topics.ATTEMPTS})
HARD_BOUND_FACTOR = 5
"""Requests that are under way may still end while new ones are refused: so many times the bound, then nothing more is taken."""


class IngressGate:
    """Whether new holds may be placed: not while the log has been away for too long."""

    def __init__(self, *, max_age_seconds: float, max_rows: int) -> None:
        self._max_age_seconds = max_age_seconds
        self._max_rows = max_rows
        self.rows = 0
        self._oldest = 0.0

    def saw(self, rows: int, oldest_age_seconds: float) -> None:
        """Note what the table holds."""
        self.rows = rows
        self._oldest = time.monotonic() - oldest_age_seconds

    def check(self) -> None:
        """Raise UnavailableError `log_unavailable` while the bound is exceeded."""
        if self.rows > self._max_rows or (self.rows and time.monotonic() - self._oldest > self._max_age_seconds):
            raise UnavailableError("the log has been unreachable for too long: nothing new is started", code="log_unavailable")

    @property
    def full(self) -> bool:
        """Whether not even the ends of running requests are taken any more."""
        return self.rows > self._max_rows * HARD_BOUND_FACTOR

    @property
    def look_at(self) -> int:
        """How many rows are worth counting."""
        return self._max_rows * HARD_BOUND_FACTOR + 1


def take(connection: psycopg.Connection[TupleRow], events: Sequence[IngressEvent], gate: IngressGate) -> None:
    """Keep the events; one that is there already is not kept twice. Raises InvalidError, UnavailableError."""
    for event in events:
        if event.topic not in TOPICS:
            raise InvalidError(f"{event.topic} takes no events this way", param="topic")
    if gate.full:
        raise UnavailableError("too many events wait for the log", code="log_unavailable")
    connection.execute(
        statement("take_ingress"),
        {
            "ids": uuids(event.event_id for event in events),
            "topics": texts(event.topic for event in events),
            "keys": texts(event.key for event in events),
            "types": texts(event.type for event in events),
            "values": texts(event.value for event in events),
        },
    )


def look(connection: psycopg.Connection[TupleRow], gate: IngressGate) -> None:
    """Tell the gate what the table holds."""
    row = connection.execute(statement("ingress_state"), {"bound": gate.look_at}).fetchone()
    assert row is not None
    gate.saw(*row)
