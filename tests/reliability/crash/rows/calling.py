"""Rows around the upstream call: under way, in the middle of a stream, answered but not yet recorded."""

from __future__ import annotations

from collections.abc import Iterable

from tests.reliability.crash.clients import Asked
from tests.reliability.crash.gates import Message
from tests.reliability.crash.round import Round, Row

A_MINUTE_MS = 60_000


def carries_completions(message: Message) -> bool:
    """A produce request with a RequestCompleted in it, or the broker's acknowledgement of one."""
    return message.what == "Produce" and b"RequestCompleted" in message.story


def hands_to_ingress(message: Message) -> bool:
    """Router's way around Kafka."""
    return message.what == "/internal/ingress"


async def call_under_way(round_: Round) -> None:
    """Variants: router dies while the provider thinks, plain or before a stream's first chunk; edge dies instead."""
    rig = round_.rig
    variant = round_.turn % 3
    edge_dies = variant == 2
    asked = round_.ask(stream=None if edge_dies else variant == 1, latency=1500 if edge_dies else A_MINUTE_MS)
    await round_.held(asked)
    await round_.until(lambda: all(rig.tap.calls[each.probe] == 1 for each in asked), "the provider is asked")
    assert not any(rig.tap.answered[each.probe] for each in asked)
    victim = rig.edge if edge_dies else rig.router
    await victim.kill9()
    assert not any(rig.tap.answered[each.probe] for each in asked)
    await round_.replace(victim)
    await round_.finish(asked)
    assert not any(each.whole for each in asked)
    if edge_dies:
        # Nobody reads the reply any more, but the provider bills it: the router waits for its usage and settles.
        await round_.until(lambda: all(rig.tap.answered[each.probe] for each in asked), "the provider answers")
    round_.audit.expect(asked, "settled" if edge_dies else "expired")


async def mid_stream(round_: Round) -> None:
    """Variants: router dies after the ledger has heard how far the streams are; edge dies there instead."""
    rig = round_.rig
    edge_dies = round_.turn % 2 == 1
    asked = round_.ask(output=40 if edge_dies else 900, stream=True, chunk=25)
    await round_.until(lambda: progressed(round_, asked), "the ledger knows of progress")
    victim = rig.edge if edge_dies else rig.router
    await victim.kill9()
    await round_.replace(victim)
    await round_.finish(asked)
    assert all(0 < each.words < each.size.output and not each.whole for each in asked)
    round_.audit.expect(asked, "settled" if edge_dies else "expired")


async def progressed(round_: Round, asked: Iterable[Asked]) -> bool:
    """Whether each stream's hold is open and has some progress in its row."""
    holds = await round_.rig.ledger.holds(each.probe for each in asked)
    return all(len(each) == 1 and each[0]["state"] == "HELD" and each[0]["progress_output"] > 0 for each in holds.values())


async def not_acknowledged(round_: Round) -> None:
    """Variants: the record never left the router; Kafka has it but its acknowledgement is lost; the ingress has it."""
    await (_never_left, _not_heard_of, _in_the_ingress)[round_.turn % 3](round_)


async def _never_left(round_: Round) -> None:
    rig = round_.rig
    gate = rig.router_to_kafka.gate("up", carries_completions)
    asked = round_.ask(stream=True)
    await gate.reached()
    await _router_dies_before_the_end(round_, asked)
    gate.sever()
    assert not any(rig.topics.completed(each) for each in await round_.request_ids(asked))
    round_.audit.expect(asked, "expired")


async def _not_heard_of(round_: Round) -> None:
    rig = round_.rig
    gate = rig.router_to_kafka.gate("down", carries_completions)
    asked = round_.ask(1, stream=round_.turn % 2 == 0)
    await gate.reached()
    await rig.topics.catch_up()
    assert all(rig.topics.completed(each) for each in await round_.request_ids(asked))
    await _router_dies_before_the_end(round_, asked)
    gate.sever()
    round_.audit.expect(asked, "settled")


async def _in_the_ingress(round_: Round) -> None:
    rig = round_.rig
    kafka = rig.router_to_kafka.gate("up", carries_completions)
    ingress = rig.router_to_settlement.gate("down", hands_to_ingress)
    asked = round_.ask(1, stream=round_.turn % 2 == 0)
    await kafka.reached()
    await ingress.reached()
    await _router_dies_before_the_end(round_, asked)
    kafka.sever()
    ingress.sever()
    round_.audit.expect(asked, "settled")


async def _router_dies_before_the_end(round_: Round, asked: list[Asked]) -> None:
    """The provider has answered, the client has not seen the end; and now it never will."""
    rig = round_.rig
    await round_.until(lambda: all(rig.tap.answered[each.probe] for each in asked), "the provider has answered")
    assert not any(each.whole for each in asked)
    await rig.router.kill9()
    await round_.replace(rig.router)
    await round_.finish(asked)
    assert not any(each.whole for each in asked)


ROWS = (
    Row(
        name="upstream call under way",
        kills="router, router, edge",
        rule="the open hold becomes a case, never silently void; without edge it is settled all the same",
        play=call_under_way,
        variants=3,
    ),
    Row(
        name="mid-stream",
        kills="router, edge",
        rule="charged = the last recorded progress, exposure beyond it listed; without edge the real usage",
        play=mid_stream,
        variants=2,
    ),
    Row(
        name="response done, RequestCompleted not acknowledged",
        kills="router",
        rule="the client has not seen the end; Kafka, the ingress or a case recovers it",
        play=not_acknowledged,
        variants=3,
    ),
)
