"""What a policy may add: failed attempts are charged for what they burned, a stream without content yet begins anew."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from schemas.envelope import new_id
from tests.integration.router.rig import PRICE_BOOK, Asker, Lane, Reply, Rig, Story, story
from tests.oracle import Oracle, Tokens

SAID = [{"role": "user", "content": "hello [sim input_tokens=90 output_tokens=12]"}]
TOKENS = Tokens(prompt=90, output=12)
BURNED = {"kind": "burned", "times": 2}
CHARGED = {"charge_failed": True, "max_attempts": 5}
RESTARTED = {"restart_streams": True}
STREAMS = pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])


@pytest.fixture(scope="module")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Oracle:
    """The charges, by another arithmetic."""
    prices: Path = tmp_path_factory.mktemp("prices") / "prices.yaml"
    prices.write_text(PRICE_BOOK)
    return Oracle(prices)


async def ask(asker: Asker, lane: Lane, policy: dict[str, Any], **body: Any) -> tuple[Reply, Story, dict[str, Any]]:
    """The reply, the record and the receipt."""
    request_id = new_id()
    async with asker.begin(lane, request_id, policy=policy, messages=SAID, max_tokens=64, **body) as response:
        reply = Reply(response.status_code, response.headers, await response.aread())
    told = await story(asker.rig.kafka, request_id)
    told.assert_consistent()
    return reply, told, asker.rig.settled_receipt(lane.account_id, request_id)


def assert_paid(rig: Rig, lane: Lane, bucket: str, start: str, amount: Decimal) -> None:
    """The bucket has lost exactly this, and nothing is held."""
    row = rig.balances(lane)[bucket]
    assert (row["posted_nano"], row["held_nano"]) == (int((Decimal(start) - amount) * 10**9), 0)


@STREAMS
async def test_burned_attempts_are_shown_with_their_cost_and_charged_only_by_policy(
    rig: Rig, asker: Asker, oracle: Oracle, *, stream: bool
) -> None:
    for policy, times in (({}, 1), (CHARGED, 3)):
        lane = rig.lane()
        rig.script(lane.main, BURNED)
        reply, told, receipt = await ask(asker, lane, policy, stream=stream)
        assert reply.headers["x-tollbook-channel"] == lane.backup
        charge = oracle.charges([("direct", "gpt-4o", TOKENS)] * times)
        assert told.completed.also_charged == ([1, 2] if times == 3 else [])
        assert [each["charged"] for each in receipt["attempts"]] == [times == 3, times == 3, True]
        assert all(each["cost_nano"] for each in receipt["attempts"])
        assert receipt["charge"]["amount_nano"] == told.completed.cost_nano == int(charge.amount * 10**9)
        assert [part["attempt"] for part in receipt["charge"]["parts"]] == ([1, 2, 3] if times == 3 else [])
        assert any("because the account's policy says so" in line for line in receipt["explanation"]) == (times == 3)
        assert_paid(rig, lane, "credit", "100", charge.amount)


async def test_a_hold_covers_every_attempt_that_may_be_charged(rig: Rig, asker: Asker) -> None:
    held = []
    for policy in ({"max_attempts": 5}, CHARGED):
        lane = rig.lane()
        _, _, receipt = await ask(asker, lane, policy)
        held.append(receipt["holds"][0]["amount_nano"])
    assert held[1] == 5 * held[0]


async def test_a_request_that_nobody_answered_is_charged_for_what_it_burned_only_by_policy(
    rig: Rig, asker: Asker, oracle: Oracle
) -> None:
    for policy, times in (({}, 0), (CHARGED, 4)):
        lane = rig.lane()
        for channel in (lane.main, lane.backup):
            rig.script(channel, BURNED)
        reply, told, receipt = await ask(asker, lane, policy)
        assert reply.status == 502
        told_cost = reply.json["error"].get("cost")
        assert told_cost == (receipt["charge"]["amount"] if times else None)
        charge = oracle.charges([("direct", "gpt-4o", TOKENS)] * times)
        assert (told.completed.charged_attempt, told.completed.also_charged) == ((4, [1, 2, 3]) if times else (None, []))
        assert receipt["status"] == ("settled" if times else "released")
        assert_paid(rig, lane, "credit", "100", charge.amount)


async def test_what_burned_under_a_hold_that_was_left_is_not_charged(rig: Rig, asker: Asker, oracle: Oracle) -> None:
    lane = rig.lane()
    for channel in (lane.main, lane.backup):
        rig.script(channel, BURNED)
    _, told, receipt = await ask(asker, lane, {**CHARGED, "cross_bucket": True})
    assert (told.completed.charged_attempt, told.completed.also_charged) == (5, [])
    assert receipt["charge"]["bucket"] == "wallet"
    assert_paid(rig, lane, "credit", "100", Decimal(0))
    assert_paid(rig, lane, "wallet", "1000", oracle.charge("pooled", "gpt-4o", TOKENS).amount)


@pytest.mark.parametrize("path", ["/internal/v1/chat/completions", "/internal/v1/messages"])
@pytest.mark.parametrize("kind", ["cut", "malformed"])
async def test_a_stream_that_broke_before_its_first_content_begins_anew_only_by_policy(
    rig: Rig, asker: Asker, oracle: Oracle, kind: str, path: str
) -> None:
    for policy in ({}, RESTARTED):
        lane = rig.lane()
        # The first chunk says that the assistant speaks, and nothing more.
        rig.script(lane.main, {"kind": kind, "after_chunks": 1, "chunk_ms": 250, "times": 9})
        reply, told, receipt = await ask(asker, lane, policy, stream=True, path=path)
        data = told.completed
        if not policy:
            assert (data.outcome, len(data.attempts), data.charged_attempt) == ("failed", 1, None)
            assert_paid(rig, lane, "credit", "100", Decimal(0))
            continue
        assert (reply.status, reply.headers["x-tollbook-channel"]) == (200, lane.backup)
        assert b'"error"' not in reply.body
        assert [each.channel for each in data.attempts] == [lane.main, lane.main, lane.backup]
        assert [fallback["to_channel"] for fallback in receipt["fallbacks"]] == [lane.backup]
        assert_paid(rig, lane, "credit", "100", oracle.charge("direct", "gpt-4o", TOKENS).amount)


async def test_a_stream_that_broke_after_its_first_content_never_begins_anew(rig: Rig, asker: Asker) -> None:
    lane = rig.lane()
    rig.script(lane.main, {"kind": "cut", "after_chunks": 3, "chunk_ms": 250})
    reply, told, _ = await ask(asker, lane, RESTARTED, stream=True)
    assert reply.events[-1]["error"]["code"] == "stream_cut"
    assert len(told.completed.attempts) == 1
