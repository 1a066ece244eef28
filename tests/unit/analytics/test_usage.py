"""Usage samples: one per key and second, every token counted once."""

import orjson

from schemas import topics
from schemas.envelope import new_id
from services.analytics.rows.decode import decode
from services.analytics.usage import Sample, samples
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
