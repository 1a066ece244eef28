"""Makes changes under load and holds every instance to them: in their order, within a measured time, without a wrong charge."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer

from schemas.control import ControlRecord
from schemas.topics import CONTROL
from tests.reliability.propagation.changes import Changes, Made
from tests.reliability.propagation.load import Load, Seen
from tests.reliability.propagation.twins import SIDES, Customer, Twins, until

ENOUGH = 3
"""So many requests in a row have to show a change on each side before the next one is made."""


class Window(NamedTuple):
    """From when until when (monotonic seconds) a refusal is intended."""

    refusal: tuple[int, str]
    start_s: float
    end_s: float


class Heard(NamedTuple):
    """Since when every instance has said that it has read a version."""

    kind: str
    version: int
    since_s: float


class Topic:
    """The control topic as somebody else reads it: at which offset a version of an entity stands."""

    def __init__(self, kafka: str) -> None:
        self._kafka = kafka
        self._offsets: dict[str, list[tuple[int, int]]] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="control-topic")

    def __enter__(self) -> Topic:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(60)

    def offset_of(self, key: str, version: int) -> int | None:
        """Where the version, or a later one, was published; None while it was not."""
        return next((offset for said, offset in list(self._offsets.get(key, [])) if said >= version), None)

    async def _run(self) -> None:
        consumer = AIOKafkaConsumer(CONTROL, bootstrap_servers=self._kafka, auto_offset_reset="earliest", group_id=None)
        await consumer.start()
        try:
            while not self._over.is_set():
                for messages in (await consumer.getmany(timeout_ms=50)).values():
                    for message in messages:
                        record = ControlRecord.model_validate_json(message.value)
                        self._offsets.setdefault(record.key, []).append((record.version, message.offset))
        finally:
            await consumer.stop()


@dataclass
class Found:
    """What came of the changes. `delays_ms`: by kind, from each change's reply to the first request that shows it, per side."""

    delays_ms: dict[str, list[float]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    requests: int = 0
    refusals: int = 0
    receipts: int = 0


class Watch:
    """One customer's load on both sides, and changes beside it."""

    def __init__(self, twins: Twins, customer: Customer, load: Load, topic: Topic, directory: Path) -> None:
        self.twins = twins
        self.customer = customer
        self.load = load
        self.changes = Changes(twins, customer, load, directory)
        self.found = Found()
        self._topic = topic
        self._windows: list[Window] = []
        self._heard: list[Heard] = []

    def prove(self, kind: str, times: int) -> None:
        """Make so many changes of a kind, there and back, and hold both sides to each."""
        for number in range(times):
            refusals: list[tuple[tuple[int, str], float]] = []
            for make in self.changes.kinds[kind]:
                begun_s = time.monotonic()
                made = make(number % len(SIDES))
                replied_s = time.monotonic()
                self._hold_to(kind, made, replied_s)
                if made.refusal is not None:
                    refusals.append((made.refusal, begun_s))
            self.load.former = None
            self._windows += [Window(refusal, since_s, time.monotonic()) for refusal, since_s in refusals]

    def _hold_to(self, kind: str, made: Made, replied_s: float) -> None:
        heard_s = replied_s
        if made.record is not None:
            key, version = made.record
            until(lambda: self._topic.offset_of(key, version) is not None, lambda: f"{key} {version} is not announced")
            self.twins.await_positions(self._topic.offset_of(key, version) or 0)
            heard_s = time.monotonic()
            self._heard.append(Heard(kind, version, heard_s))
        for side in SIDES:
            until(lambda side=side: len(self._telling(made, heard_s, side)) >= ENOUGH, lambda: f"{kind}: no request tells")  # type: ignore[misc]
            late = [seen for seen in self._telling(made, heard_s, side) if not made.obeyed(seen)]
            self.found.wrong += [f"{kind} told, and not obeyed by side {side}: {seen}" for seen in late]
            self.found.delays_ms.setdefault(kind, []).append(self._delay_ms(made, replied_s, side))

    def _telling(self, made: Made, after_s: float, side: int) -> list[Seen]:
        return [seen for seen in self.load.sent_after(after_s, side) if made.tells(seen)]

    def _delay_ms(self, made: Made, replied_s: float, side: int) -> float:
        """From the reply to the sending of the first request after which none shows the older state."""
        seen = self._telling(made, replied_s, side)
        last_older = max((index for index, each in enumerate(seen) if not made.obeyed(each)), default=-1)
        obeying = seen[last_older + 1 :]
        return (obeying[0].sent_s - replied_s) * 1000 if obeying else float("inf")

    def judge(self) -> Found:
        """Every request was answered or refused as intended; every receipt names versions that were in force."""
        found, seen = self.found, list(self.load.seen)
        found.wrong += self.load.broken
        found.requests = len(seen)
        found.refusals = sum(each.status != 200 for each in seen)
        found.wrong += [f"refused and not meant to be: {each}" for each in seen if not self._intended(each)]
        for each in seen:
            if each.status == 200:
                receipt = self.twins.receipt(self.customer.account_id, each.request_id)
                found.wrong += [f"{wrong}: {each} {receipt}" for wrong in self._wrong_in(receipt, each)]
                found.receipts += 1
        return found

    def _intended(self, seen: Seen) -> bool:
        if seen.status == 200:
            return True
        return any(
            seen.status == window.refusal[0]
            and window.refusal[1] in ("", seen.code)
            and seen.done_s >= window.start_s
            and seen.sent_s <= window.end_s
            for window in self._windows
        )

    def _wrong_in(self, receipt: dict[str, Any], seen: Seen) -> Iterator[str]:
        charge, table = receipt["charge"], receipt["table_version"]
        price = charge["price_version"]
        if not Decimal(charge["amount"]) == Decimal(seen.cost) == self.changes.cost(price, seen):
            yield "the charge is not what its prices make of its tokens"
        passed = [each["from_channel"] for each in receipt["fallbacks"] if each["reason"] == "channel_frozen"]
        order = [channel for channel in self.changes.orders[table] if channel not in passed]
        if seen.channel != order[0]:
            yield "the channel is not the one that its table says"
        for heard in self._heard:
            used = {"price": price, "route": table}.get(heard.kind)
            if used is not None and seen.sent_s > heard.since_s and used < heard.version:
                yield f"an older version than {heard.kind} {heard.version} was used"


@contextmanager
def watching(twins: Twins, directory: Path) -> Iterator[Watch]:
    """A new customer's load, with what watches it, until the block ends."""
    customer = twins.customer()
    with Topic(twins.kafka) as topic, Load(twins, customer.api_key) as load:
        yield Watch(twins, customer, load, topic, directory)
