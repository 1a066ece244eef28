"""The outbox and the ingress table, as the relays read and clear them."""

from collections.abc import Sequence
from typing import Protocol

import psycopg
from psycopg.rows import TupleRow

from services.settlement.arrays import bigints
from services.settlement.outgoing import hold_decided
from services.settlement.publisher import Message
from services.settlement.statements import statements

Pending = tuple[int, Message]
"""A row's id and its record."""


class Source(Protocol):
    """A table of records that wait for Kafka. `name` names its relay, of which one runs at a time."""

    name: str

    def next(self, connection: psycopg.Connection[TupleRow], limit: int) -> list[Pending]:
        """The oldest rows that are not published."""
        ...

    def published(self, connection: psycopg.Connection[TupleRow], ids: Sequence[int]) -> None:
        """Kafka has acknowledged the rows."""
        ...


class OutboxSource:
    """Settlement's own events. A row goes when it is acknowledged; how many went is counted in the same transaction."""

    name = "outbox"

    def next(self, connection: psycopg.Connection[TupleRow], limit: int) -> list[Pending]:
        """The oldest rows; those of holds are written out from the hold."""
        cursor = connection.execute(statements("relay.sql")["next_events"], {"limit": limit}, binary=True)
        names = [column.name for column in cursor.description or ()]
        return [_pending(row, names) for row in cursor.fetchall()]

    def published(self, connection: psycopg.Connection[TupleRow], ids: Sequence[int]) -> None:
        """Count and remove."""
        connection.execute(statements("relay.sql")["events_published"], {"ids": bigints(ids)})


class IngressSource:
    """Events of edge and router that Kafka could not take at the time."""

    name = "ingress"

    def next(self, connection: psycopg.Connection[TupleRow], limit: int) -> list[Pending]:
        """The oldest rows."""
        rows = connection.execute(statements("relay.sql")["next_ingress"], {"limit": limit}).fetchall()
        return [(row[0], Message(*row[1:])) for row in rows]

    def published(self, connection: psycopg.Connection[TupleRow], ids: Sequence[int]) -> None:
        """Remove."""
        connection.execute(statements("relay.sql")["ingress_published"], {"ids": bigints(ids)})


def _pending(row: TupleRow, names: Sequence[str]) -> Pending:
    row_id, topic, key, kind, _, payload = row[:6]
    return row_id, Message(topic, key, kind, hold_decided(dict(zip(names, row, strict=True))) if payload is None else payload)
