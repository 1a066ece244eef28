"""What a cell has to look like, from the table of faults and the independent oracle alone."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from math import ceil
from typing import Any

from tests.integration.router.matrix.cells import Cell
from tests.integration.router.matrix.run import FUNDS, PROMPT, Outcome
from tests.oracle import Oracle, Tokens

SCRIPTED = Tokens(prompt=90, output=12)
UNIT = Decimal(10) ** 9


@dataclass(frozen=True, slots=True)
class Course:
    """How a request must go: the channels that are asked, in order; where it is answered, None where nowhere."""

    asked: list[str]
    answered: str | None
    crossed: bool


def course(cell: Cell) -> Course:
    """By the plan: the candidates at fault are asked as often as the fault says, the first good one that may pay answers."""
    expected = cell.expected
    asked: list[str] = []
    crossed = False
    for channel, route_type, provider in cell.channels:
        crosses = route_type != "direct"
        if crosses and not cell.crossing:
            break
        crossed = crossed or crosses
        if provider != cell.provider or expected.answers:
            return Course([*asked, channel], channel, crossed)
        asked += [channel] * expected.calls
        if expected.final:
            break
    return Course(asked, None, crossed)


def judge(cell: Cell, outcome: Outcome, oracle: Oracle) -> None:
    """Assert everything about the cell."""
    way = course(cell)
    _reply(cell, outcome, way)
    _record(cell, outcome, way)
    charged = _charge(cell, outcome, way, oracle)
    _receipt(cell, outcome, way, charged)
    _balances(outcome, charged)


def _reply(cell: Cell, outcome: Outcome, way: Course) -> None:
    reply, expected = outcome.reply, cell.expected
    assert reply.status == (200 if way.answered else expected.client)
    if way.answered:
        assert reply.headers["x-tollbook-channel"] == way.answered
        assert not cell.stream or reply.events[-1] == "[DONE]"
    elif expected.midway:
        assert "[DONE]" not in reply.events
        assert reply.events[-1]["error"]["code"] == expected.told[0]
    elif expected.client != 400:
        assert reply.json["error"]["code"] == expected.told[0]


def _record(cell: Cell, outcome: Outcome, way: Course) -> None:
    expected, told = cell.expected, outcome.told
    told.assert_consistent()
    data = told.completed
    assert [each.channel for each in data.attempts] == way.asked
    failed = data.attempts[:-1] if way.answered else data.attempts
    for each in failed:
        assert (each.outcome, each.error_class, each.http_status) == ("failed", *expected.told)
        assert (each.exposure is not None) == expected.exposed
        if not expected.midway:
            used = (each.usage.input_tokens, each.usage.output_tokens, each.usage_source)
            assert used == ((90, 12, "reported") if expected.burned else (0, 0, "none"))
    moves = [(one, other) for one, other in zip(way.asked, way.asked[1:], strict=False) if one != other]
    taken = [each for each in data.fallbacks if each.to_attempt is not None]
    assert [(each.from_channel, each.to_channel) for each in taken] == moves
    assert {each.reason for each in taken} <= {expected.told[0]}
    assert any(each.crossed_bucket for each in taken) == (way.crossed and bool(moves))
    assert len(data.hold_ids) == (2 if way.crossed else 1)


def _charge(cell: Cell, outcome: Outcome, way: Course, oracle: Oracle) -> dict[str, Decimal]:
    """What each bucket has to be charged. What a broken stream delivered is counted from the client's own copy."""
    if way.answered:
        route_type = "pooled" if way.crossed else "direct"
        charge = oracle.charge(route_type, "gpt-4o", SCRIPTED)
        return {charge.bucket: charge.amount}
    if not cell.expected.midway:
        return {}
    tokens = _delivered(cell, outcome)
    charge = oracle.charge("direct", "gpt-4o", tokens)
    return {charge.bucket: charge.amount}


def _delivered(cell: Cell, outcome: Outcome) -> Tokens:
    """Tokens of a broken stream: a chunk with content is one, unless the provider counted as it went."""
    chunks = [each for event in outcome.reply.events[:-1] for each in event["choices"] if each["delta"].get("content")]
    usage = outcome.told.completed.attempts[0].usage
    assert chunks
    assert usage.output_tokens >= len(chunks)
    if cell.dialect == "openai":
        assert (usage.input_tokens, usage.output_tokens) == (ceil(len(PROMPT) / 4) + 3, len(chunks))
        return Tokens(prompt=ceil(len(PROMPT) / 4) + 3, output=len(chunks))
    assert usage.output_tokens <= SCRIPTED.output
    return Tokens(prompt=usage.input_tokens, output=usage.output_tokens)


def _receipt(cell: Cell, outcome: Outcome, way: Course, charged: dict[str, Decimal]) -> None:
    receipt: dict[str, Any] = outcome.receipt
    assert receipt["status"] == ("settled" if charged else "released")
    assert [each["channel"] for each in receipt["attempts"]] == way.asked
    assert [each["charged"] for each in receipt["attempts"]].count(True) == len(charged)
    assert receipt["explanation"]
    paid = {} if receipt["charge"] is None else {receipt["charge"]["bucket"]: receipt["charge"]["amount_nano"]}
    assert paid == {bucket: int(amount * UNIT) for bucket, amount in charged.items()}
    states = sorted(hold["state"] for hold in receipt["holds"])
    assert states == sorted(["captured"] * len(charged) + ["released"] * (len(receipt["holds"]) - len(charged)))
    burned = [each for each in receipt["attempts"] if not each["charged"] and each["usage"]["output_tokens"]]
    assert len(burned) == (len([each for each in receipt["attempts"] if not each["charged"]]) if cell.expected.burned else 0)
    assert all(each["cost_nano"] for each in burned)


def _balances(outcome: Outcome, charged: dict[str, Decimal]) -> None:
    for bucket, amount in FUNDS.items():
        row = outcome.balances[bucket]
        left = Decimal(amount) - charged.get(bucket, Decimal(0))
        assert (row["posted_nano"], row["held_nano"]) == (int(left * UNIT), 0)
