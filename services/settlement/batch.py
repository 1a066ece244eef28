"""A batch of records on its way through the settlement transaction. Pure values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from services.settlement.errors import PoisonError
from services.settlement.records import Incoming, Record
from services.settlement.settling import CaseDraft, Settlement


@dataclass(slots=True)
class Batch:
    """Records of one or more partitions: what must be settled or set aside, and how far each partition moves.

    An advance is (partition, first offset, next offset, offset after the last settling record).
    """

    advances: list[tuple[int, int, int, int]] = field(default_factory=list)
    incoming: list[Incoming] = field(default_factory=list)
    poison: list[tuple[Record, PoisonError]] = field(default_factory=list)
    redriven: "Redriven | None" = None

    @property
    def size(self) -> int:
        """How many settling records there are, the poison among them too."""
        return len(self.incoming) + len(self.poison)

    def shares(self, other: "Batch") -> bool:
        """Whether the two speak of one event or request: what one decides about it may depend on the other."""
        return not self._subjects().isdisjoint(other._subjects())

    def _subjects(self) -> set[int]:
        """As numbers: Python hashes them several times faster than UUIDs."""
        found = {each.event.event_id.int for each in self.incoming}
        found.update([each.event.request_id.int for each in self.incoming if each.event.request_id is not None])
        return found


@dataclass(frozen=True, slots=True)
class Redriven:
    """The dead letter that the batch's one event was, who has it read again, and what it comes to.

    `entry` is its row in the audit log, None where nobody's call is behind it.
    """

    record: Record
    author: str
    outcome: str
    entry: Mapping[str, Any] | None = None


@dataclass(slots=True)
class Decided:
    """What the batch comes to. `fresh` are the events that the inbox must take."""

    fresh: list[Incoming] = field(default_factory=list)
    settlements: list[tuple[Incoming, Settlement]] = field(default_factory=list)
    cases: list[CaseDraft] = field(default_factory=list)
    poison: list[tuple[Record, PoisonError]] = field(default_factory=list)
    repeats: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Posting:
    """Who posts: the lease that the offsets are compared with, and what a case gets."""

    lease: str
    lease_s: float
    case_owner: str
    case_max_age_days: int
