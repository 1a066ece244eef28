"""Which partitions this worker reads, and from where. The lease is a row in Postgres; Kafka's groups are not asked."""

from collections.abc import Iterable
from typing import Any

import psycopg
from psycopg.rows import TupleRow

from services.settlement.arrays import plain
from services.settlement.statements import statements

Taken = dict[int, tuple[int, int]]
"""By partition: the ledger's next offset, and the one after the last settling record."""


class Leases:
    """The leases of one worker process on one topic. `token` is new in every process, `owner` outlives it."""

    def __init__(self, *, topic: str, token: str, owner: str, lease_s: float) -> None:
        self._topic = topic
        self.token = token
        self._owner = owner
        self._lease_s = lease_s
        self._sql = statements("leases.sql")

    def take(self, connection: psycopg.Connection[TupleRow], partitions: Iterable[int], *, starting: bool) -> Taken:
        """Take or renew what can be had."""
        parameters: dict[str, Any] = {"topic": self._topic, "partitions": plain(sorted(partitions))}
        connection.execute(self._sql["add_partitions"], parameters)
        parameters |= {"lease": self.token, "owner": self._owner, "lease_s": self._lease_s, "starting": starting}
        rows = connection.execute(self._sql["take_leases"], parameters).fetchall()
        return {partition: (following, settled) for partition, following, settled in rows}

    def release(self, connection: psycopg.Connection[TupleRow]) -> None:
        """Give all of them back, so that a successor need not wait."""
        connection.execute(self._sql["release_leases"], {"topic": self._topic, "lease": self.token})
