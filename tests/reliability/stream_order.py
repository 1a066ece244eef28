"""A stream of completions as no healthy system delivers it: doubled, out of order, days late, and forged."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

import orjson

from schemas.attempts import RequestCompleted
from schemas.calls import HoldRequest
from schemas.money import Usage
from tests.integration.settlement.requests_made import attempt_on, candidate, completion, hold_for

DAYS_LATE = 3
DISPLACED = 5_000
"""How many places a reordered event may slip back."""
DOUBLED, REORDERED, LATE, FORGED = 0.20, 0.20, 0.05, 0.01


@dataclass(frozen=True, slots=True)
class Sent:
    """One record: account and the event's JSON."""

    account: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Stream:
    """The records in their order, and how many of them are what."""

    records: list[Sent]
    doubled: int
    reordered: int
    late: int
    forged: int

    def __str__(self) -> str:
        return (
            f"{len(self.records):,} events, of them {self.doubled:,} doubled, {self.reordered:,} out of order,"
            f" {self.late:,} days late, {self.forged:,} forged"
        )


def holds(accounts: Sequence[str], count: int, dice: random.Random) -> Iterator[HoldRequest]:
    """Holds on the accounts in turn; those of late events were placed days ago and are long overdue."""
    for number in range(count):
        hold = hold_for(
            accounts[number % len(accounts)],
            candidates=[candidate(model=dice.choice(["gpt-4o", "gpt-4o-mini"])), candidate(channel="openai-backup")],
            tags={"feature": "search"},
        )
        late = dice.random() < LATE / (1 - DOUBLED - FORGED)
        yield hold.model_copy(update={"deadline_at": hold.deadline_at - timedelta(days=DAYS_LATE)}) if late else hold


def is_late(hold: HoldRequest, event: RequestCompleted) -> bool:
    """Whether the event comes days after its request."""
    return hold.deadline_at < event.occurred_at


def end(hold: HoldRequest, dice: random.Random) -> RequestCompleted:
    """The one true end of the request: charged, one in ten released, one in a hundred above its hold."""
    luck = dice.random()
    if luck < 0.1:
        failed = attempt_on(hold, outcome="failed", error_class="timeout", usage=Usage())
        return completion(hold, charged=None, attempts=[failed])
    output = 300 if luck > 0.99 else dice.randint(0, 100)
    usage = Usage(input_tokens=dice.randint(0, 500), output_tokens=output)
    paid = attempt_on(hold, usage=usage, operator_cost_nano=dice.randint(1, 10**6), operator_cost_currency="USD")
    return completion(hold, attempts=[paid])


def true_events(total: int) -> int:
    """How many of `total` records are first and true: the rest are doubles and forgeries."""
    return total - int(total * DOUBLED) - int(total * FORGED)


def abused(events: Sequence[tuple[Sent, bool]], total: int, dice: random.Random) -> Stream:
    """`total` records of the true events (each with whether it is late), in disorder.

    A forged copy comes after the true event: which of two payloads came first is all that anybody can know of them.
    """
    doubled, forged = int(total * DOUBLED), int(total * FORGED)
    on_time = [number for number, (_, is_days_late) in enumerate(events) if not is_days_late]
    slipped = set(dice.sample(on_time, min(int(total * REORDERED), len(on_time))))
    places = [_place(number, is_days_late, number in slipped, total, dice) for number, (_, is_days_late) in enumerate(events)]
    records = [(place, sent) for place, (sent, _) in zip(places, events, strict=True)]
    # Some come again at once, some much later.
    records += [
        (places[number] + dice.choice([0.5, DISPLACED, total]) * dice.random(), events[number][0])
        for number in dice.sample(range(len(events)), doubled)
    ]
    for number in dice.sample(range(len(events)), forged):
        sent = events[number][0]
        records.append((places[number] + dice.uniform(0.01, DISPLACED), Sent(sent.account, forge(sent.value, dice))))
    records.sort(key=lambda at: at[0])
    late = len(events) - len(on_time)
    return Stream([sent for _, sent in records], doubled, len(slipped), late, forged)


def _place(number: int, is_days_late: bool, is_slipped: bool, total: int, dice: random.Random) -> float:
    if is_days_late:
        return total * (1 + LATE * dice.random())
    return number + (dice.uniform(1, DISPLACED) if is_slipped else 0)


def forge(value: bytes, dice: random.Random) -> bytes:
    """The event under its own id, saying something else."""
    body = orjson.loads(value)
    attempt = body["data"]["attempts"][0]
    if dice.random() < 0.5:
        attempt["usage"]["output_tokens"] += 1
    else:
        body["data"]["charged_attempt"] = None if body["data"]["charged_attempt"] else 1
    return orjson.dumps(body)
