"""Rows around the hold: before it commits, and after that but before anyone has heard of it."""

from __future__ import annotations

from tests.reliability.crash.gates import Message
from tests.reliability.crash.round import Round, Row

HOLDS = "/internal/holds"


def places_holds(message: Message) -> bool:
    """The hold function's call, or its answer."""
    return "from decide_holds(" in message.what


def asks_for_holds(message: Message) -> bool:
    """Router's call for holds, or settlement's answer."""
    return message.what == HOLDS


async def before_the_commit(round_: Round) -> None:
    """Variants: settlement dies with its statement not yet at Postgres; router dies with its call not yet at settlement."""
    rig = round_.rig
    settlement_dies = round_.turn % 2 == 0
    proxy = rig.api_to_postgres if settlement_dies else rig.router_to_settlement
    gate = proxy.gate("up", places_holds if settlement_dies else asks_for_holds)
    asked = round_.ask()
    await gate.reached()
    await round_.no_holds(asked)
    victim = rig.settlement if settlement_dies else rig.router
    await victim.kill9()
    gate.sever()
    await round_.no_holds(asked)
    await round_.replace(victim)
    # The router asks the successor, under the same ids.
    await (round_.answered if settlement_dies else round_.finish)(asked)
    round_.audit.expect(asked, "settled" if settlement_dies else "nothing")


async def before_the_reply(round_: Round) -> None:
    """Variants: settlement dies before Postgres' answer reaches it; after that; router dies before settlement's reaches it."""
    rig = round_.rig
    variant = round_.turn % 3
    proxy = rig.api_to_postgres if variant == 0 else rig.router_to_settlement
    gate = proxy.gate("down", places_holds if variant == 0 else asks_for_holds)
    # A stream's hold lives as long as its lease: short where it is left behind.
    asked = round_.ask(1, stream=variant == 2)
    before = await round_.held(asked)
    await gate.reached()
    assert rig.tap.calls[asked[0].probe] == 0
    victim = rig.router if variant == 2 else rig.settlement
    await victim.kill9()
    gate.sever()
    await round_.replace(victim)
    if variant == 2:
        await round_.finish(asked)
        assert rig.tap.calls[asked[0].probe] == 0
    else:
        await round_.answered(asked)
        assert {probe: holds[0]["id"] for probe, holds in (await rig.ledger.holds(before)).items()} == before
    round_.audit.expect(asked, "expired" if variant == 2 else "settled")


ROWS = (
    Row(
        name="before the hold commits",
        kills="settlement, router",
        rule="no hold, no call; asked again, the successor places exactly one",
        play=before_the_commit,
        variants=2,
    ),
    Row(
        name="after the hold's commit, before the reply",
        kills="settlement, settlement, router",
        rule="asking again finds the same hold; never two upstream calls on one hold; left alone it becomes a case",
        play=before_the_reply,
        variants=3,
    ),
)
