"""Crossing from one bucket into another: by permission, with a hold of its own first."""

from __future__ import annotations

from schemas.money import Usage
from tests.integration.router.rig import Asker, Rig, expected_charge, story

SCRIPTED = {"sim_input_tokens": "90", "sim_output_tokens": "12"}
USAGE = Usage(input_tokens=90, output_tokens=12)
BROKEN = {"kind": "401"}


async def test_without_permission_the_plan_stops_at_the_buckets_border(rig: Rig, asker: Asker) -> None:
    lane = rig.lane()
    for channel in (lane.main, lane.backup):
        rig.script(channel, BROKEN)
    request_id, reply = await asker.ask(lane)
    assert reply.status == 502
    data = (await story(rig.kafka, request_id)).completed
    assert [each.channel for each in data.attempts] == [lane.main, lane.backup]
    assert len(data.hold_ids) == 1
    assert rig.stats(lane.pool)["requests"] == 0


async def test_with_permission_a_second_hold_pays_the_other_bucket(rig: Rig, asker: Asker) -> None:
    lane = rig.lane()
    for channel in (lane.main, lane.backup):
        rig.script(channel, BROKEN)
    request_id, reply = await asker.ask(lane, policy={"cross_bucket": True}, metadata=SCRIPTED)
    assert (reply.status, reply.headers["x-tollbook-bucket"]) == (200, "wallet")
    told = await story(rig.kafka, request_id)
    told.assert_consistent()
    data = told.completed
    assert len(data.hold_ids) == 2
    assert (data.attempts[-1].hold_id, data.bucket, data.currency) == (data.hold_ids[1], "wallet", "CNY")
    assert data.cost_nano == expected_charge("pooled", USAGE)
    assert [each.crossed_bucket for each in data.fallbacks] == [False, True]


async def test_a_second_hold_that_is_refused_ends_with_the_attempts_own_failure(rig: Rig, asker: Asker) -> None:
    lane = rig.lane(wallet=None)
    for channel in (lane.main, lane.backup):
        rig.script(channel, BROKEN)
    request_id, reply = await asker.ask(lane, policy={"cross_bucket": True})
    assert (reply.status, reply.json["error"]["code"]) == (502, "unauthorized")
    assert len((await story(rig.kafka, request_id)).completed.hold_ids) == 1


async def test_an_empty_bucket_refuses_before_anything_is_called(rig: Rig, asker: Asker) -> None:
    lane = rig.lane(credit=None)
    _, reply = await asker.ask(lane)
    assert (reply.status, reply.headers["x-tollbook-rejected"]) == (402, "insufficient_balance")
    assert "credit" in reply.json["error"]["message"]
    assert rig.stats(lane.main)["requests"] == 0


async def test_an_empty_bucket_moves_on_to_the_next_only_with_permission(rig: Rig, asker: Asker) -> None:
    lane = rig.lane(credit=None)
    request_id, reply = await asker.ask(lane, policy={"cross_bucket": True}, metadata=SCRIPTED)
    assert (reply.status, reply.headers["x-tollbook-channel"]) == (200, lane.pool)
    told = await story(rig.kafka, request_id)
    told.assert_consistent()
    assert [(each.from_channel, each.reason) for each in told.completed.fallbacks] == [
        (lane.main, "insufficient_funds"),
        (lane.backup, "insufficient_funds"),
    ]
    assert told.completed.fallbacks[-1].crossed_bucket
    assert told.completed.cost_nano == expected_charge("pooled", USAGE)


async def test_a_policy_of_pooled_routes_pays_from_the_wallet(rig: Rig, asker: Asker) -> None:
    lane = rig.lane()
    request_id, reply = await asker.ask(lane, policy={"route_types": ["pooled"]}, metadata=SCRIPTED)
    assert (reply.status, reply.headers["x-tollbook-route"]) == (200, f"pooled/{lane.pool}")
    assert (await story(rig.kafka, request_id)).completed.cost_nano == expected_charge("pooled", USAGE)
