"""Stream abuse: a million events, doubled, out of order, days late and forged, come to the same books as the clean stream.

`python -m tests.reliability.stream --events 1000000`. The same holds are placed in two ledgers; one worker process settles the
clean events, another the abused ones, each from a topic of its own time. Ends with 1 when the books differ by a unit.
"""

import argparse
import asyncio
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from schemas import topics
from schemas.calls import HoldRequest
from services.settlement.publisher import Message, Publisher
from tests.integration.settlement.ledger import Ledger, running_ledger
from tests.reliability.books import Books, read_books
from tests.reliability.ground import Ground, empty_topics, ground, second_database
from tests.reliability.population import accounts, limit_three_ways
from tests.reliability.progress import Progress
from tests.reliability.stream_order import Sent, Stream, abused, end, holds, is_late, true_events
from tests.reliability.worker_run import worker

ACCOUNTS = 40
AT_ONCE = 5_000
HOLDS_PER_CALL = 128
SETTLING_TYPE = "RequestCompleted"
# The sweeper is as eager as it can be: it must leave to the worker what the worker has not read.
EAGER = {"TOLLBOOK_HOLD_GRACE_SECONDS": "0.1", "TOLLBOOK_SWEEP_INTERVAL_SECONDS": "0.5"}


@dataclass(frozen=True, slots=True)
class Report:
    """The stream, both runs' books, and what is wrong."""

    stream: Stream
    clean: Books
    abused: Books
    seconds: float
    wrong: list[str]

    def __str__(self) -> str:
        verdict = "the same books as the clean run" if not self.wrong else f"{len(self.wrong)} DIFFERENCES: {self.wrong[:3]}"
        return f"{self.stream}: {verdict}; cases {self.abused.cases}; {len(self.stream.records) / self.seconds:,.0f} events/s"


def prove(on: Ground, events: int, *, progress: Progress) -> Report:
    """Run both streams, on an empty database and a second one beside it."""
    dice = random.Random(20)
    names = [f"acc_{number:016d}" for number in range(ACCOUNTS)]
    asked = list(holds(names, true_events(events), dice))
    true = []
    for hold in asked:
        event = end(hold, dice)
        true.append((Sent(hold.account_id, event.to_json()), is_late(hold, event)))
    stream = abused(true, events, dice)
    progress.say(str(stream))
    with second_database(on) as beside:
        clean, _ = _settled(beside, asked, [sent for sent, _ in true], progress)
        empty_topics(on)
        found, seconds = _settled(on, asked, stream.records, progress)
    return Report(stream, clean, found, seconds, _wrong(stream, clean, found))


def _wrong(stream: Stream, clean: Books, found: Books) -> list[str]:
    wrong = clean.broken + found.broken + found.differences(clean)
    flagged = found.cases.get("payload_mismatch", 0)
    if flagged != stream.forged:
        wrong.append(f"{stream.forged} events were forged, {flagged} are flagged")
    others = {kind: count for kind, count in found.cases.items() if kind != "payload_mismatch"}
    if others != clean.cases:
        wrong.append(f"cases: {found.cases}, in the clean run {clean.cases}")
    if found.dead_letters or clean.dead_letters:
        wrong.append(f"dead letters: {found.dead_letters}, in the clean run {clean.dead_letters}")
    return wrong


def _settled(on: Ground, asked: Sequence[HoldRequest], records: Sequence[Sent], progress: Progress) -> tuple[Books, float]:
    """Place the holds, write the records, let a worker read them all. The books, and the seconds that the worker took."""
    with running_ledger(on.database_url) as ledger:
        _place(ledger, asked, progress)
        ledger.as_owner("delete from consumer_offset")  # the lease of the test's own ledger
    asyncio.run(_write(on.kafka, records))
    progress.say(f"{len(asked):,} holds are placed, {len(records):,} events are written")
    with worker(on, **EAGER) as run:
        seconds = run.until_read(len(records), progress)
        run.until_published()
    return read_books(on.database_url), seconds


def _place(ledger: Ledger, asked: Sequence[HoldRequest], progress: Progress) -> None:
    for name in accounts(ledger, ACCOUNTS)[::4]:
        limit_three_ways(ledger, name)
    for start in range(0, len(asked), HOLDS_PER_CALL):
        answers = ledger.hold(*asked[start : start + HOLDS_PER_CALL])
        assert all(answer["status"] == "held" for answer in answers), answers[0]
        progress.at(start, "holds placed")


async def _write(kafka: str, records: Sequence[Sent]) -> None:
    publisher = Publisher(kafka)
    for start in range(0, len(records), AT_ONCE):
        some = records[start : start + AT_ONCE]
        await publisher.send([Message(topics.ATTEMPTS, each.account, SETTLING_TYPE, each.value.decode()) for each in some])
    await publisher.close()


def main() -> int:
    """Run on engines of its own and print the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    events = parser.parse_args().events
    with ground(kafka=True) as on:
        report = prove(on, events, progress=Progress("stream", events))
    print(report)
    return 1 if report.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
