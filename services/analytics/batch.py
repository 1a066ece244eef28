"""A batch: which offsets of which partitions are inserted together, and the tokens that make the insert repeatable. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from services.analytics.errors import RewoundError
from services.analytics.rows.decode import Record
from services.analytics.rows.table import Table

ROW_FORMAT = 1
"""Raised whenever the same record may give another row, so that a replay by newer code is not taken for the old insert."""

Partition = tuple[str, int]
"""(topic, partition)."""


@dataclass(frozen=True, slots=True)
class Range:
    """Offsets `first` to `last`, both inclusive."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Batch:
    """The recorded boundaries of one insert."""

    ranges: Mapping[Partition, Range]

    @classmethod
    def of(cls, records: Iterable[Record]) -> "Batch":
        """The boundaries of records. Raises :class:`RewoundError` if a partition's are not in order of their offsets."""
        first: dict[Partition, int] = {}
        last: dict[Partition, int] = {}
        for record in records:
            partition = (record.topic, record.partition)
            if record.offset <= last.get(partition, -1):
                raise RewoundError(f"{record.topic}/{record.partition}: offset {record.offset} came after {last[partition]}")
            first.setdefault(partition, record.offset)
            last[partition] = record.offset
        return cls({partition: Range(first[partition], last[partition]) for partition in sorted(first)})

    @classmethod
    def from_json(cls, value: Iterable[tuple[str, int, int, int]]) -> "Batch":
        """The inverse of :meth:`to_json`."""
        return cls({(topic, partition): Range(first, last) for topic, partition, first, last in value})

    def to_json(self) -> list[tuple[str, int, int, int]]:
        """(topic, partition, first, last), ordered."""
        return [(topic, partition, r.first, r.last) for (topic, partition), r in sorted(self.ranges.items())]

    def token(self, table: Table, batch_no: int) -> str:
        """The token of inserting the batch into `table`: its number, the row format, its topic's offsets."""
        parts = (
            f"{topic}:{partition}:{r.first}-{r.last}"
            for (topic, partition), r in sorted(self.ranges.items())
            if topic == table.topic
        )
        return f"{batch_no}:{ROW_FORMAT}:" + ",".join(parts)

    def next_offsets(self) -> dict[Partition, int]:
        """Where reading goes on once the batch is inserted."""
        return {partition: r.last + 1 for partition, r in self.ranges.items()}

    def covers(self, record: Record) -> bool:
        """Whether the record lies within the batch."""
        r = self.ranges.get((record.topic, record.partition))
        return r is not None and r.first <= record.offset <= r.last
