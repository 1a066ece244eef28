"""Publishes the control records that admin calls left in Postgres: every one, in order, deleted only once Kafka has it."""

from schemas.control import ControlRecord
from services.edge import metrics
from services.edge.database import rows_of
from services.edge.outbox import Outbox, Outgoing

MAX_ROUND = 200


class ControlOutbox(Outbox):
    """One relay publishes at a time, whichever instance holds the lock."""

    name = "control records"

    async def relay(self) -> int:
        """Publish the oldest records."""
        async with self._database.transaction() as connection:
            if not (await rows_of(connection, "try_relay_lock"))[0]["locked"]:
                return 0
            pending = await rows_of(connection, "pending_control", {"limit": MAX_ROUND})
            if pending:
                await self.publish([_outgoing(ControlRecord.model_validate(row["record"])) for row in pending])
                await rows_of(connection, "delete_control", {"ids": [row["id"] for row in pending]})
        metrics.CONTROL_PUBLISHED.inc(len(pending))
        return len(pending)


def _outgoing(record: ControlRecord) -> Outgoing:
    return Outgoing(record.key.encode(), "ControlRecord", record.to_json())
