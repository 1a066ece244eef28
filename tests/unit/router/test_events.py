"""Every event that router writes is one that the contracts read."""

from __future__ import annotations

from typing import Any

import pytest

from schemas import attempts
from schemas.envelope import Event
from schemas.money import Usage
from schemas.registry import decode
from schemas.topics import ATTEMPTS
from services.router.call import Call, Outgoing
from services.router.errors import UpstreamError
from services.router.events import Record
from tests.unit.router.things import HOLD_ID, REQUEST_ID, call, catalog, channel, model

CATALOG = catalog([channel("a", cost_factor="0.8"), channel("p", "pooled")], [model("gpt-4o", "a", "p")])
USAGE = Usage(input_tokens=100, cached_input_tokens=20, output_tokens=10)


def read(record: Record) -> Any:
    event = decode(ATTEMPTS, record.type, record.value)
    assert event.event_id == record.event_id
    return event


def assert_envelope(event: Event) -> None:
    assert (event.account_id, event.request_id, event.run_id) == ("acc_1", REQUEST_ID, "run_1")
    assert (event.environment, event.tags, event.traceparent) == ("test", {"feature": "search"}, "00-1-2-01")
    assert event.version == 1


def assert_complete(event: Event, record: Record) -> None:
    """Nothing that was written is lost on reading, and nothing is left to a default."""
    fields = type(event).model_validate_json(record.value).model_dump(exclude_unset=True)
    assert fields == event.model_dump()


def test_attempt_started() -> None:
    made = call(CATALOG)
    record = made.writer.attempt_started(1, made.plan.places[0].candidate, HOLD_ID)
    event = read(record)
    assert isinstance(event, attempts.AttemptStarted)
    assert_envelope(event)
    assert_complete(event, record)
    assert (event.data.channel, event.data.attempt, event.data.hold_id, event.data.requested_model) == (
        "a",
        1,
        HOLD_ID,
        "gpt-4o",
    )


def test_a_failed_attempt_shows_what_it_burned_and_what_it_cost_the_operator() -> None:
    made = call(CATALOG)
    failure = UpstreamError("upstream_error", "retry", status=500, usage=USAGE)
    record = made.writer.attempt_finished(made.failed(made.begin(0, 0, 100.5), failure, 100.75))
    event = read(record)
    assert isinstance(event, attempts.AttemptFinished)
    assert_complete(event, record)
    attempt = event.data.attempt
    assert (attempt.outcome, attempt.error_class, attempt.http_status, attempt.latency_ms) == (
        "failed",
        "upstream_error",
        500,
        250.0,
    )
    assert (attempt.usage, attempt.usage_source) == (USAGE, "reported")
    assert (attempt.operator_cost_nano, attempt.operator_cost_currency) == (300_000, "USD")


def test_an_attempt_that_burned_nothing_says_none() -> None:
    made = call(CATALOG)
    attempt = made.failed(made.begin(1, 0, 100.5), UpstreamError("connection_failed", "retry"), 100.75)
    assert (attempt["usage_source"], attempt["operator_cost_nano"], attempt["http_status"]) == ("none", None, None)


def test_fallback_taken() -> None:
    made = call(CATALOG)
    made.leave(0, 1, "timeout")
    fallback = made.arrive(1, 2, crossed_bucket=True)
    assert fallback is not None
    record = made.writer.fallback_taken(fallback)
    event = read(record)
    assert isinstance(event, attempts.FallbackTaken)
    assert_complete(event, record)
    assert event.data.fallback == attempts.Fallback(
        from_channel="a", to_channel="p", from_attempt=1, to_attempt=2, reason="timeout", crossed_bucket=True
    )


def completed(made: Call, out: Outgoing, at: float) -> Any:
    record = made.writer.request_completed(made.ending(out, at))
    event = read(record)
    assert isinstance(event, attempts.RequestCompleted)
    assert_envelope(event)
    assert_complete(event, record)
    return event.data


def test_a_completed_request_says_who_pays_for_which_attempt() -> None:
    made = call(CATALOG)
    running = made.begin(0, 0, 100.25)
    made.finished(running, USAGE, "reported", 100.75)
    data = completed(made, Outgoing("succeeded", 200, None, made.charge(running, USAGE)), 101.0)
    assert (data.charged_attempt, data.bucket, data.currency, data.cost_nano) == (1, "credit", "USD", 375_000)
    assert (data.latency_ms, data.overhead_ms, data.hold_ids) == (1000.0, 500.0, [HOLD_ID])
    assert data.table_version == CATALOG.version
    assert [each.channel for each in data.plan] == ["a", "p"]
    assert [each.outcome for each in data.attempts] == ["succeeded"]
    assert (data.client_api, data.client_request_id, data.stream) == ("chat.completions", "mine", False)


def test_a_failed_request_charges_nothing_and_still_ends_its_holds() -> None:
    made = call(CATALOG)
    made.failed(made.begin(0, 0, 100.25), UpstreamError("timeout", "retry"), 100.75)
    data = completed(made, Outgoing("failed", 504, "timeout"), 101.0)
    assert (data.charged_attempt, data.bucket, data.cost_nano) == (None, None, None)
    assert data.hold_ids == [HOLD_ID]


@pytest.mark.parametrize("attempt", [None, 2])
def test_a_move_back_to_the_same_candidate_is_no_fallback(attempt: int | None) -> None:
    made = call(CATALOG)
    made.leave(0, 1, "timeout")
    assert made.arrive(0, attempt, crossed_bucket=False) is None
    assert made.fallbacks == []
    assert made.left is None
