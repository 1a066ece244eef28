"""Publishes the batches that were let in: each once it is in Postgres, marked once Kafka has it."""

from schemas.batches import BatchAccepted
from services.edge import metrics
from services.edge.database import rows_of
from services.edge.outbox import Outbox, Outgoing

MAX_ROUND = 100


class BatchOutbox(Outbox):
    """Several instances may relay at once: each takes rows that no other has locked."""

    name = "batches"

    async def relay(self) -> int:
        """Publish the oldest batches."""
        async with self._database.transaction() as connection:
            pending = await rows_of(connection, "batches_to_announce", {"limit": MAX_ROUND})
            if pending:
                await self.publish([_outgoing(BatchAccepted.model_validate(row["event"])) for row in pending])
                await rows_of(connection, "mark_announced", {"ids": [row["batch_id"] for row in pending]})
        metrics.EVENTS.labels("kafka").inc(len(pending))
        return len(pending)


def _outgoing(event: BatchAccepted) -> Outgoing:
    return Outgoing(event.account_id.encode(), event.type, event.to_json())
