"""The life of a batch, its ids, and what is kept of a line: pure parts of the batch worker."""

from __future__ import annotations

from typing import get_args
from uuid import UUID

import orjson
import pytest

from schemas.batches import ENDED, STATUSES, BatchStatus
from schemas.envelope import new_id
from services.router.answers import JSON, Answer
from services.router.batch.identities import claimant, hold_ids, request_id
from services.router.batch.lifecycle import FOLLOWS, UNBEGUN, Stopped, after_files, after_lines, may_follow
from services.router.batch.results import error_entry, packed, result_of, unpacked
from services.router.events import Record

BATCH = "batch_" + "0" * 32


def test_every_status_has_its_followers_and_an_ended_batch_has_none() -> None:
    assert set(FOLLOWS) == set(STATUSES)
    assert {status for status, following in FOLLOWS.items() if not following} == ENDED


def test_no_batch_ever_returns_to_a_status() -> None:
    def reachable(status: BatchStatus) -> set[BatchStatus]:
        found: set[BatchStatus] = set()
        waiting = list(FOLLOWS[status])
        while waiting:
            each = waiting.pop()
            if each not in found:
                found.add(each)
                waiting += FOLLOWS[each]
        return found

    assert all(status not in reachable(status) for status in STATUSES)
    assert all(reachable(status) & ENDED for status in STATUSES if status not in ENDED)


@pytest.mark.parametrize("stopped", [None, *get_args(Stopped)])
def test_however_the_lines_end_the_files_are_written_and_the_batch_ends(stopped: Stopped | None) -> None:
    writing = after_lines(stopped)
    assert may_follow("in_progress", writing)
    assert may_follow(writing, after_files(stopped))
    assert after_files(stopped) in ENDED
    assert stopped is None or stopped in UNBEGUN


def test_ids_follow_from_batch_line_and_repeat_alone() -> None:
    assert request_id(BATCH, 7, 0) == request_id(BATCH, 7, 0)
    assert (
        len({request_id(batch, line, repeat) for batch in (BATCH, BATCH[:-1] + "1") for line in (1, 2) for repeat in (0, 1)})
        == 8
    )
    first, second = hold_ids(request_id(BATCH, 7, 0)), hold_ids(request_id(BATCH, 7, 0))
    assert [first(), first(), first()] == [second(), second(), second()]
    assert len({first() for _ in range(10)}) == 10


def test_the_same_worker_under_a_later_lease_is_another_claimant() -> None:
    assert claimant("w", 1) != claimant("w", 2)


def test_a_result_is_what_it_was_after_it_was_stored() -> None:
    records = [Record("AttemptFinished", new_id(), b'{"a":1}'), Record("RequestCompleted", new_id(), b'{"b":"\\u00e9"}')]
    result = result_of("one", UUID(int=7), Answer(200, [JSON], b'{"choices":[]}'), records, [UUID(int=6)])
    assert unpacked(packed(result)) == result
    entry = orjson.loads(result.entry)
    assert (entry["custom_id"], entry["error"], entry["response"]["status_code"]) == ("one", None, 200)
    assert entry["tollbook"]["earlier_request_ids"] == [str(UUID(int=6))]


@pytest.mark.parametrize(
    ("body", "code"),
    [(b'{"error":{"code":"budget_exceeded"}}', "budget_exceeded"), (b'{"error":{}}', "error"), (b"oops", "error")],
)
def test_a_failed_line_keeps_its_errors_code(body: bytes, code: str) -> None:
    result = result_of("one", UUID(int=7), Answer(402, [JSON], body), [], [])
    assert (result.outcome, result.code) == ("failed", code)


def test_a_line_without_an_answer_has_an_error_and_no_response() -> None:
    entry = orjson.loads(error_entry("one", UUID(int=7), "batch_expired", "late"))
    assert (entry["response"], entry["error"]["code"]) == (None, "batch_expired")
