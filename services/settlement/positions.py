"""How far each partition was read, in memory between two transactions. Pure: halts on a gap, cuts batches at their bound."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from services.settlement.batch import Batch
from services.settlement.errors import OffsetGapError, PoisonError
from services.settlement.records import Record, outcome_of, settles


@dataclass(slots=True)
class Position:
    """Where a partition stands.

    `posted` is the ledger's next offset and `seen` the next one after what was read: records in between need no posting.
    `settled` follows the last settling record that the ledger has: none may lie between it and `posted`.
    `taken` is where the batches end that somebody is posting: the next one begins there.
    """

    posted: int
    seen: int
    settled: int
    taken: int

    @property
    def read_from(self) -> int:
        """Where to begin reading: records before `posted` are looked at once more, to see that none was passed over."""
        return min(self.settled, self.posted)


class Positions:
    """The partitions under lease."""

    def __init__(self, offsets: Mapping[int, tuple[int, int]]) -> None:
        """Offsets are (next, settled) by partition, as the ledger has them."""
        self._of = {
            partition: Position(following, following, settled, following) for partition, (following, settled) in offsets.items()
        }

    @property
    def partitions(self) -> list[int]:
        """Every partition under lease."""
        return list(self._of)

    def of(self, partitions: Collection[int]) -> "Positions":
        """Some of the partitions, the same positions. Threads may work at once on parts that have no partition in common."""
        share = Positions({})
        share._of = {partition: position for partition, position in self._of.items() if partition in partitions}
        return share

    @property
    def read_from(self) -> dict[int, int]:
        """Where to begin reading, by partition."""
        return {partition: position.read_from for partition, position in self._of.items()}

    @property
    def offsets(self) -> dict[int, int]:
        """The ledger's next offset by partition."""
        return {partition: position.posted for partition, position in self._of.items()}

    @property
    def unposted(self) -> int:
        """Records that were read and need no posting, in no batch yet."""
        return sum(position.seen - position.taken for position in self._of.values())

    def batches(self, records: Sequence[Record], limit: int) -> Iterator[Batch]:
        """Batches of at most `limit` settling events, the last one perhaps with none; call `take` before the next one.

        A record that the ledger has is left out. Raises OffsetGapError when one is missing, or was passed over.
        """
        batch = Batch()
        for record in records:
            position = self._of[record.partition]
            if record.offset < position.seen:
                _must_be_known(record, position)
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
                position.settled = max(position.settled, record.offset + 1)
            position.seen += 1
        yield self._closed(batch)

    def take(self, batch: Batch) -> None:
        """The batch will be posted, after those that were taken before it: the next one begins where it ends."""
        for partition, _, following, _ in batch.advances:
            self._of[partition].taken = following

    def posted(self, batch: Batch) -> None:
        """The batch is committed."""
        for partition, _, following, _ in batch.advances:
            position = self._of[partition]
            position.posted = following
            position.taken = max(position.taken, following)

    def _closed(self, batch: Batch) -> Batch:
        """The batch with how far it moves each partition."""
        batch.advances = [
            (partition, position.taken, position.seen, position.settled)
            for partition, position in self._of.items()
            if position.seen > position.taken
        ]
        return batch


def _must_be_known(record: Record, position: Position) -> None:
    """A settling record below the ledger's offset must lie below its last settled one: else somebody moved the offset."""
    if record.offset >= position.settled and settles(record.type):
        raise OffsetGapError(f"partition {record.partition} was moved past offset {record.offset}, which was never settled")


def _add(batch: Batch, record: Record) -> None:
    found = outcome_of(record)
    if isinstance(found, PoisonError):
        batch.poison.append((record, found))
    else:
        batch.incoming.append(found)
