"""Events on their way out: what waits, and how a round of them becomes Kafka batches or an ingress call."""

from collections import OrderedDict, deque
from dataclasses import dataclass

from aiokafka.partitioner import DefaultPartitioner

from schemas.calls import IngressBatch, IngressEvent
from schemas.envelope import Event

MAX_KNOWN_ACCOUNTS = 50_000


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One event, ready for the wire."""

    event: Event
    value: bytes

    @classmethod
    def of(cls, event: Event) -> "Outgoing":
        """The event with its bytes."""
        return cls(event, event.to_json())


class Waiting:
    """A bounded queue of events. `put` says whether there was room."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._events: deque[Event] = deque()

    def __len__(self) -> int:
        return len(self._events)

    @property
    def full(self) -> bool:
        """Whether there is no room left for new work; refusals may still use the last tenth."""
        return len(self._events) >= self._limit * 9 // 10

    def put(self, event: Event) -> bool:
        """Queue an event, False where the queue is at its limit."""
        if len(self._events) >= self._limit:
            return False
        self._events.append(event)
        return True

    def take(self, most: int) -> list[Outgoing]:
        """The oldest events, rendered."""
        return [Outgoing.of(self._events.popleft()) for _ in range(min(most, len(self._events)))]


class Partitions:
    """The default partitioner over account ids, with its answers remembered: murmur2 in Python is slow."""

    def __init__(self) -> None:
        self._choose = DefaultPartitioner()
        self._known: OrderedDict[tuple[str, int], int] = OrderedDict()

    def of(self, account_id: str, count: int) -> int:
        """The partition of an account among `count`."""
        known = self._known.get((account_id, count))
        if known is None:
            everyone = list(range(count))
            known = int(self._choose(account_id.encode(), everyone, everyone))
            self._known[(account_id, count)] = known
            if len(self._known) > MAX_KNOWN_ACCOUNTS:
                self._known.popitem(last=False)
        return known

    def split(self, events: list[Outgoing], count: int) -> dict[int, list[Outgoing]]:
        """Events by partition, in their order."""
        by_partition: dict[int, list[Outgoing]] = {}
        for event in events:
            by_partition.setdefault(self.of(event.event.account_id, count), []).append(event)
        return by_partition


def ingress_batch(topic: str, events: list[Outgoing]) -> IngressBatch:
    """The same events as the body of a call to settlement's ingress."""
    return IngressBatch(
        events=[
            IngressEvent(
                topic=topic,
                key=out.event.account_id,
                type=out.event.type,
                event_id=out.event.event_id,
                value=out.value.decode(),
            )
            for out in events
        ]
    )
