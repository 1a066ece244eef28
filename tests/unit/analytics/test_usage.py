"""Usage samples: one per key and second, every token counted once."""

from typing import Any

import orjson

from schemas import topics
from schemas.envelope import new_id
from services.analytics.rows.attempts import ATTEMPTS
from services.analytics.rows.decode import decode
from services.analytics.usage import Sample, channel_samples, samples
from tests.unit.analytics.records import EXAMPLES, Record

EXAMPLE = next(iter(sorted((EXAMPLES / topics.ATTEMPTS).rglob("RequestCompleted*.json")))).read_bytes()


def completion(key_id: str, at: str, tokens: list[int], charged: int | None) -> bytes:
    """A completion with one attempt per number of tokens; `charged` is the attempt that is paid."""
    event = orjson.loads(EXAMPLE)
    attempt = event["data"]["attempts"][0]
    tries = [
        {**attempt, "attempt": number, "usage": {"input_tokens": total - 1, "output_tokens": 1, "reasoning_tokens": 1}}
        for number, total in enumerate(tokens, start=1)
    ]
    event |= {"event_id": str(new_id()), "occurred_at": at, "account_id": "acc", "environment": "production"}
    event["data"] |= {"attempts": tries, "charged_attempt": charged, "key": {"project_id": "prj", "key_id": key_id}}
    return orjson.dumps(event)


def sampled(*values: bytes) -> list[Sample]:
    decoded = decode([Record(topics.ATTEMPTS, 0, offset, value) for offset, value in enumerate(values)])
    assert decoded.poison == []
    return samples(decoded.rows["completions"])


def test_requests_of_a_key_in_one_second_are_one_sample() -> None:
    found = sampled(
        completion("one", "2026-11-23T12:00:00.000001Z", [100], 1),
        completion("one", "2026-11-23T12:00:00.999999Z", [10], 1),
        completion("one", "2026-11-23T12:00:01Z", [1], 1),
        completion("two", "2026-11-23T12:00:00.5Z", [7], 1),
    )
    second = 1795435200
    assert [(sample.key_id, sample.second, sample.requests, sample.tokens) for sample in found] == [
        ("one", second, 2, 110),
        ("one", second + 1, 1, 1),
        ("two", second, 1, 7),
    ]


def test_tokens_that_failures_burned_count_too() -> None:
    (charged,) = sampled(completion("one", "2026-11-23T12:00:00Z", [50, 20, 5], 2))
    (uncharged,) = sampled(completion("one", "2026-11-23T12:00:00Z", [50, 20, 5], None))
    assert charged.tokens == uncharged.tokens == 75


def test_a_request_without_attempts_counts_as_a_request_without_tokens() -> None:
    (sample,) = sampled(completion("one", "2026-11-23T12:00:00Z", [], None))
    assert (sample.requests, sample.tokens) == (1, 0)


def attempt(channel: str, second: int, outcome: str, error_class: str = "", tokens: int = 0) -> tuple[Any, ...]:
    """A row of `attempts`; without an outcome it is one that began."""
    values = {column.name: column.default for column in ATTEMPTS.columns}
    values |= {"channel": channel, "occurred_at": second * 1_000_000 + 5, "outcome": outcome, "error_class": error_class}
    return tuple({**values, "input_tokens": tokens}.values())


def test_a_channels_attempts_of_a_second_are_one_sample_and_the_callers_own_failures_are_not_its() -> None:
    rows = [
        attempt("a", 7, ""),
        attempt("a", 7, "succeeded", tokens=100),
        attempt("a", 7, "failed", "timeout"),
        attempt("a", 7, "failed", "stream_cut", tokens=30),
        attempt("a", 7, "failed", "invalid_request"),
        attempt("a", 7, "cancelled", "client_gone", tokens=5),
        attempt("a", 8, "succeeded", tokens=1),
        attempt("b", 7, "succeeded", tokens=2),
    ]
    first, second, other = channel_samples(rows)
    assert (first.channel, first.second, first.attempts, first.failed, first.tokens) == ("a", 7, 5, 2, 135)
    assert (first.burned_attempts, first.burned_tokens, dict(first.errors)) == (1, 30, {"timeout": 1, "stream_cut": 1})
    assert [(each.channel, each.second, each.attempts) for each in (second, other)] == [("a", 8, 1), ("b", 7, 1)]
