"""Events of `tollbook.dead.v1`: records that no consumer could use, kept for a person to look at."""

from typing import Literal

from schemas.envelope import Contract, Event, Identifier


class DeadLetterData(Contract):
    """Where the poison record lies and why it was set aside. The payload itself stays where it is: topic, partition, offset."""

    topic: Identifier
    partition: int
    offset: int
    consumer: Identifier
    reason: Identifier
    detail: str


class DeadLetter(Event):
    """A record was set aside; `account_id` is "unknown" where it could not be read."""

    type: Literal["DeadLetter"] = "DeadLetter"
    data: DeadLetterData
