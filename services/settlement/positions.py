"""How far each partition was read, in memory between two transactions. Pure: halts on a gap, cuts batches at their bound."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from services.settlement.errors import OffsetGapError, PoisonError
from services.settlement.records import Incoming, Record, read, settles
from services.settlement.settle_store import Batch


@dataclass(slots=True)
class Position:
    """`posted` is the ledger's next offset, `seen` the next one after what was read: records in between need no posting."""

    posted: int
    seen: int


class Positions:
    """The partitions under lease."""

    def __init__(self, offsets: dict[int, int]) -> None:
        self._of = {partition: Position(offset, offset) for partition, offset in offsets.items()}

    @property
    def offsets(self) -> dict[int, int]:
        """The ledger's next offset by partition."""
        return {partition: position.posted for partition, position in self._of.items()}

    @property
    def unposted(self) -> int:
        """Records that were read and need no posting, not yet recorded in the ledger."""
        return sum(position.seen - position.posted for position in self._of.values())

    def batches(self, records: Sequence[Record], limit: int) -> Iterator[Batch]:
        """Batches of at most `limit` settling events, the last one perhaps with none; call `posted` before the next one.

        Raises OffsetGapError when a record is not the next one; one that was read before is left out.
        """
        batch = Batch()
        for record in records:
            position = self._of[record.partition]
            if record.offset < position.seen:
                continue
            if record.offset > position.seen:
                raise OffsetGapError(
                    f"partition {record.partition} goes from {position.seen} to {record.offset}: records are missing"
                )
            if settles(record.type):
                if len(batch.incoming) + len(batch.poison) >= limit:
                    yield self._closed(batch)
                    batch = Batch()
                _add(batch, record)
            position.seen += 1
        yield self._closed(batch)

    def posted(self, batch: Batch) -> None:
        """The batch is committed."""
        for partition, _, following in batch.advances:
            self._of[partition].posted = following

    def _closed(self, batch: Batch) -> Batch:
        """The batch with how far it moves each partition."""
        batch.advances = [
            (partition, position.posted, position.seen)
            for partition, position in self._of.items()
            if position.seen > position.posted
        ]
        return batch


def _add(batch: Batch, record: Record) -> None:
    try:
        incoming: Incoming = read(record)
    except PoisonError as error:
        batch.poison.append((record, error))
    else:
        batch.incoming.append(incoming)
