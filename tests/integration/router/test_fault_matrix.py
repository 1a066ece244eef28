"""Each scripted fault, streaming or not: what the client gets, which attempts are told, and what is charged."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.money import Usage
from tests.integration.router.rig import Asker, Rig, expected_charge, story

SCRIPTED = {"sim_input_tokens": "90", "sim_output_tokens": "12"}
USAGE = Usage(input_tokens=90, output_tokens=12)
NO_USAGE = Usage()
Fault = dict[str, Any]

BEFORE_THE_FIRST_BYTE: dict[str, tuple[Fault, list[str], int | None]] = {
    "rate limited, wait too long": ({"kind": "429", "retry_after_s": 30}, ["rate_limited"], 429),
    "rate limited, wait short": ({"kind": "429", "retry_after_s": 0.1, "times": 2}, ["rate_limited"] * 2, 429),
    "server error": ({"kind": "500", "times": 2}, ["upstream_error"] * 2, 500),
    "unavailable": ({"kind": "503", "times": 2}, ["upstream_unavailable"] * 2, 503),
    "key refused": ({"kind": "401"}, ["unauthorized"], 401),
    "connection refused": ({"kind": "refuse", "times": 2}, ["connection_failed"] * 2, None),
    "silent": ({"kind": "timeout", "times": 2}, ["timeout"] * 2, None),
    "burned": ({"kind": "burned", "times": 2}, ["upstream_error"] * 2, 500),
}
STREAMS = pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])


@STREAMS
@pytest.mark.parametrize("name", BEFORE_THE_FIRST_BYTE)
async def test_a_fault_before_the_first_byte_is_answered_by_the_backup(
    rig: Rig, asker: Asker, name: str, *, stream: bool
) -> None:
    fault, classes, status = BEFORE_THE_FIRST_BYTE[name]
    lane = rig.lane()
    rig.script(lane.main, fault)
    request_id, reply = await asker.ask(lane, stream=stream, metadata=SCRIPTED)
    assert (reply.status, reply.headers["x-tollbook-channel"]) == (200, lane.backup)
    assert (reply.headers["x-tollbook-attempts"], reply.headers["x-tollbook-fallbacks"]) == (str(len(classes) + 1), "1")
    told = await story(rig.kafka, request_id)
    told.assert_consistent()
    data = told.completed
    *failed, answered = data.attempts
    assert [(each.channel, each.error_class, each.http_status) for each in failed] == [(lane.main, c, status) for c in classes]
    assert (answered.channel, answered.usage) == (lane.backup, USAGE)
    [fallback] = data.fallbacks
    assert (fallback.from_channel, fallback.to_channel, fallback.reason) == (lane.main, lane.backup, classes[-1])
    assert (fallback.from_attempt, fallback.to_attempt, fallback.crossed_bucket) == (len(classes), len(classes) + 1, False)
    assert (data.outcome, data.charged_attempt) == ("succeeded", len(classes) + 1)
    assert data.cost_nano == expected_charge("direct", USAGE)
    burned = USAGE if name == "burned" else NO_USAGE
    assert {(each.usage, each.usage_source) for each in failed} == {(burned, "reported" if name == "burned" else "none")}


@pytest.mark.parametrize(
    ("fault", "error_class"),
    [({"kind": "malformed", "times": 2}, "malformed_reply"), ({"kind": "cut", "times": 2}, "connection_failed")],
)
async def test_a_broken_plain_reply_is_answered_by_the_backup(rig: Rig, asker: Asker, fault: Fault, error_class: str) -> None:
    lane = rig.lane()
    rig.script(lane.main, fault)
    request_id, reply = await asker.ask(lane, metadata=SCRIPTED)
    assert (reply.status, reply.headers["x-tollbook-channel"]) == (200, lane.backup)
    data = (await story(rig.kafka, request_id)).completed
    assert [each.error_class for each in data.attempts] == [error_class, error_class, None]
    assert data.cost_nano == expected_charge("direct", USAGE)


async def test_one_failure_is_retried_on_the_same_channel_without_a_fallback(rig: Rig, asker: Asker) -> None:
    lane = rig.lane()
    rig.script(lane.main, {"kind": "503"})
    request_id, reply = await asker.ask(lane, metadata=SCRIPTED)
    assert (reply.status, reply.headers["x-tollbook-channel"]) == (200, lane.main)
    told = await story(rig.kafka, request_id)
    told.assert_consistent()
    assert told.completed.fallbacks == []
    assert [each.error_class for each in told.completed.attempts] == ["upstream_unavailable", None]


async def test_the_attempt_after_the_first_is_in_the_log_before_it_is_called(rig: Rig, asker: Asker) -> None:
    lane = rig.lane()
    rig.script(lane.main, {"kind": "500", "times": 2})
    request_id, _ = await asker.ask(lane)
    assert (await story(rig.kafka, request_id)).types == [
        "AttemptStarted", "AttemptFinished",
        "AttemptStarted", "AttemptFinished",
        "FallbackTaken", "AttemptStarted", "AttemptFinished",
        "RequestCompleted",
    ]  # fmt: skip


@STREAMS
async def test_the_requests_own_fault_is_passed_on_and_charged_to_nobody(rig: Rig, asker: Asker, *, stream: bool) -> None:
    lane = rig.lane()
    rig.script(lane.main, {"kind": "400"})
    request_id, reply = await asker.ask(lane, stream=stream)
    assert reply.status == 400
    assert reply.json["error"]["message"]
    assert "x-tollbook-rejected" not in reply.headers
    data = (await story(rig.kafka, request_id)).completed
    assert (data.outcome, data.http_status, data.error_class, data.charged_attempt) == ("failed", 400, "invalid_request", None)
    assert len(data.attempts) == 1


@STREAMS
@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ({"kind": "500", "times": 9}, 502, "upstream_error"),
        ({"kind": "503", "times": 9}, 503, "upstream_unavailable"),
        ({"kind": "429", "retry_after_s": 30}, 429, "rate_limited"),
        ({"kind": "401"}, 502, "unauthorized"),
    ],
)
async def test_when_every_candidate_fails_the_client_learns_why_and_pays_nothing(
    rig: Rig, asker: Asker, fault: Fault, status: int, code: str, *, stream: bool
) -> None:
    lane = rig.lane()
    for channel in (lane.main, lane.backup):
        rig.script(channel, fault)
    request_id, reply = await asker.ask(lane, stream=stream)
    assert (reply.status, reply.json["error"]["code"]) == (status, code)
    told = await story(rig.kafka, request_id)
    told.assert_consistent()
    assert (told.completed.outcome, told.completed.charged_attempt, told.completed.http_status) == ("failed", None, status)
    assert told.completed.hold_ids


async def test_a_policy_bounds_the_attempts(rig: Rig, asker: Asker) -> None:
    lane = rig.lane()
    rig.script(lane.main, {"kind": "500", "times": 9})
    request_id, reply = await asker.ask(lane, policy={"max_attempts": 1})
    assert reply.status == 502
    assert len((await story(rig.kafka, request_id)).completed.attempts) == 1


async def test_without_fallback_only_the_primary_is_asked(rig: Rig, asker: Asker) -> None:
    lane = rig.lane()
    rig.script(lane.main, {"kind": "500", "times": 9})
    request_id, reply = await asker.ask(lane, policy={"fallback": False})
    assert reply.status == 502
    data = (await story(rig.kafka, request_id)).completed
    assert {each.channel for each in data.attempts} == {lane.main}
    assert [each.channel for each in data.plan] == [lane.main]
