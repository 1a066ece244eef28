"""Every attempt that a provider answered carries the provider's own id of its reply."""

from __future__ import annotations

import re

import orjson
import pytest

from tests.integration.router.rig import Asker, Rig, story

BODY_ID, HEADER_ID = re.compile(r"chatcmpl-\w+"), re.compile(r"req_\w+")
STREAMS = pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])


@STREAMS
async def test_the_replys_own_id_is_kept(rig: Rig, asker: Asker, *, stream: bool) -> None:
    request_id, reply = await asker.ask(rig.lane(), stream=stream)
    [attempt] = (await story(rig.kafka, request_id)).completed.attempts
    assert attempt.upstream_id is not None
    assert BODY_ID.fullmatch(attempt.upstream_id)
    assert attempt.upstream_id == (reply.events[0]["id"] if stream else orjson.loads(reply.body)["id"])


@STREAMS
@pytest.mark.parametrize(("kind", "named"), [("burned", True), ("500", True), ("timeout", False), ("refuse", False)])
async def test_a_failed_attempt_has_the_id_of_its_replys_header_where_there_was_a_reply(
    rig: Rig, asker: Asker, kind: str, named: bool, *, stream: bool
) -> None:
    lane = rig.lane()
    rig.script(lane.main, {"kind": kind, "times": 2})
    request_id, _ = await asker.ask(lane, stream=stream)
    *failed, answered = (await story(rig.kafka, request_id)).completed.attempts
    assert [bool(each.upstream_id and HEADER_ID.fullmatch(each.upstream_id)) for each in failed] == [named] * 2
    assert answered.upstream_id is not None


async def test_a_reply_that_broke_off_is_named_by_its_header(rig: Rig, asker: Asker) -> None:
    lane = rig.lane()
    rig.script(lane.main, {"kind": "cut", "times": 2})
    request_id, _ = await asker.ask(lane, stream=False)
    broken, _, _ = (await story(rig.kafka, request_id)).completed.attempts
    assert broken.upstream_id is not None
    assert HEADER_ID.fullmatch(broken.upstream_id)
