"""One process at a time does a thing: a lock in Postgres that lives as long as its session, and only while that asks something.

A process that is frozen keeps its connection, and its turn with it. So whoever waits for the turn looks how long its holder has
been silent, and ends that session when it was too long. A process that wakes finds its connection gone, and waits itself.
"""

import psycopg
import structlog
from psycopg.rows import TupleRow

from services.settlement.statements import statements

log = structlog.get_logger(__name__)
SILENT_S = 30.0
"""Longer than anybody waits between two statements: for the next look, or for Kafka to acknowledge."""


def take_turn(connection: psycopg.Connection[TupleRow], name: str, *, silent_s: float = SILENT_S) -> bool:
    """Whether the turn is this connection's now, until it closes. Where a silent holder was ended, ask again soon."""
    sql = statements("relay.sql")
    row = connection.execute(sql["lock_turn"], {"name": name}).fetchone()
    if row is not None and row[0]:
        return True
    for pid, _ in connection.execute(sql["end_silent_turn"], {"name": name, "silent_s": silent_s}).fetchall():
        log.warning("turn_taken_from_a_silent_session", turn=name, backend_pid=pid)
    return False
