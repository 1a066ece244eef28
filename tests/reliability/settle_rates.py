"""How many settling events per second the worker process posts, from Kafka to committed rows, and the CPU of each."""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass

from schemas import topics
from schemas.attempts import RequestCompleted
from services.settlement.publisher import Message, Publisher
from services.settlement.relay_store import OutboxSource
from tests.bench.cpu import CpuMeter
from tests.integration.settlement.ledger import Ledger
from tests.reliability.ground import Ground, empty_topics, engine_pids
from tests.reliability.population import accounts, placed, usual_end
from tests.reliability.progress import Progress
from tests.reliability.worker_run import worker

PUBLISH_AT_ONCE = 5_000


@dataclass(frozen=True, slots=True)
class SettleRate:
    """One run: events of how many accounts, posted per second, and CPU in microseconds per event until the outbox was empty."""

    events: int
    holders: int
    per_second: float
    drained_s: float
    cpu_us: dict[str, float]

    def __str__(self) -> str:
        cpu = ", ".join(f"{name} {spent:.0f}" for name, spent in self.cpu_us.items())
        return (
            f"worker, {self.holders} account(s): {self.per_second:,.0f} settling events/s over {self.events:,};"
            f" outbox empty after {self.drained_s:.1f} s; CPU us per event until then: {cpu}"
        )


def measure(on: Ground, *, events: int, holders: int, progress: Progress) -> SettleRate:
    """Place holds, publish their ends, then let one worker process post them."""
    empty_topics(on)
    ledger = Ledger(on.database_url)
    try:
        names = accounts(ledger, holders)
        requests = placed(ledger, names, events)
        forget_outbox(ledger)
        free_partitions(ledger)
        dice = random.Random(1)
        publish(on.kafka, [usual_end(request, dice) for request in requests])
        ledger.as_owner("checkpoint")
        progress.say(f"{events:,} holds of {holders} account(s) placed, their ends published")
        return _watch(on, events, holders, progress)
    finally:
        ledger.close()


def free_partitions(ledger: Ledger) -> None:
    """Give back the lease that the test's ledger took for itself, so that a real worker reads every partition."""
    ledger.connection.execute("update consumer_offset set lease = null, lease_until = null")


def forget_outbox(ledger: Ledger) -> None:
    """Take what waits as published: what the holds announced is not what is measured."""
    source = OutboxSource()
    while waiting := source.next(ledger.connection, PUBLISH_AT_ONCE):
        source.published(ledger.connection, [row_id for row_id, _ in waiting])


def publish(kafka: str, events: Sequence[RequestCompleted]) -> None:
    """Write completions as router does, many at once."""

    async def send() -> None:
        publisher = Publisher(kafka)
        for start in range(0, len(events), PUBLISH_AT_ONCE):
            some = events[start : start + PUBLISH_AT_ONCE]
            await publisher.send([Message(topics.ATTEMPTS, e.account_id, e.type, e.to_json().decode()) for e in some])
        await publisher.close()

    asyncio.run(send())


def _watch(on: Ground, events: int, holders: int, progress: Progress) -> SettleRate:
    """Measure from the worker's first transaction to its last; its start is not counted."""
    with worker(on) as run:
        meter = CpuMeter(engine_pids(on) | {"worker": run.service.process.pid})
        run.until_read(1, progress)
        counted = events - run.read()
        meter.reset()
        seconds = run.until_read(events, progress)
        began = time.monotonic()
        run.until_published()
        drained_s = seconds + time.monotonic() - began
        spent = {name: 1000 * ms / max(counted, 1) for name, ms in meter.spent_ms().items()}
    return SettleRate(events, holders, counted / max(seconds, 0.001), drained_s, spent)
