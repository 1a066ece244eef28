"""Rows around the outbox: written but not published, published but not marked."""

from __future__ import annotations

from schemas import topics
from tests.reliability.crash.gates import Message
from tests.reliability.crash.round import Round, Row


def carries_ledger_events(message: Message) -> bool:
    """A produce request to the ledger's topic, or its acknowledgement."""
    return message.what == "Produce" and topics.LEDGER.encode() in message.story


def clears_outbox(message: Message) -> bool:
    """The relay removes what was acknowledged."""
    return message.what.startswith("with gone as (\n    delete from outbox")


async def _everything_published(round_: Round) -> None:
    """A gate shut before that would hold the events of rounds before ours, and ours would never come to it."""

    async def nothing_waits() -> bool:
        return (await round_.rig.ledger.waiting())["outbox"] == 0

    await round_.until(nothing_waits, "what was said before is published")


async def not_published(round_: Round) -> None:
    """The worker dies with the events of committed facts still on their way to Kafka."""
    rig = round_.rig
    await _everything_published(round_)
    gate = rig.worker_to_kafka.gate("up", carries_ledger_events)
    asked = round_.ask()
    await round_.answered(asked)
    await gate.reached()
    await rig.topics.catch_up()
    assert (await rig.ledger.waiting())["outbox"] > 0
    assert not any(rig.topics.events_of(each, "HoldPlaced") for each in await round_.request_ids(asked))
    await rig.worker.kill9()
    gate.sever()
    await round_.replace(rig.worker)
    round_.audit.expect(asked, "settled")


async def not_marked(round_: Round) -> None:
    """The worker dies with its events in Kafka and in the outbox. Variants: no acknowledgement; not acted upon."""
    rig = round_.rig
    await _everything_published(round_)
    acknowledged = round_.turn % 2 == 1
    proxy = rig.worker_to_postgres if acknowledged else rig.worker_to_kafka
    gate = proxy.gate("up" if acknowledged else "down", clears_outbox if acknowledged else carries_ledger_events)
    asked = round_.ask()
    await round_.answered(asked)
    await gate.reached()
    sent_before = await _rows_in_both(round_)
    assert sent_before
    await rig.worker.kill9()
    gate.sever()
    await round_.replace(rig.worker)
    await round_.until(lambda: _sent_again(round_, sent_before), "the events are sent again")
    round_.audit.expect(asked, "settled")


async def _rows_in_both(round_: Round) -> set[str]:
    """Ids of holds whose event is in Kafka and still in the outbox."""
    await round_.rig.topics.catch_up()
    rows = await round_.rig.ledger.rows("select ref::text as id from settlement.outbox where payload is null")
    return {row["id"] for row in rows} & round_.rig.topics.found[topics.LEDGER].ids


async def _sent_again(round_: Round, ids: set[str]) -> bool:
    await round_.rig.topics.catch_up()
    return all(round_.rig.topics.copies[each] == 2 for each in ids)


ROWS = (
    Row(
        name="outbox written, not published",
        kills="worker",
        rule="sent by the successor, each event once",
        play=not_published,
    ),
    Row(
        name="published, not marked",
        kills="worker",
        rule="sent again under the same ids, absorbed by every reader",
        play=not_marked,
        variants=2,
    ),
)
