"""Refusals in words."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from schemas.calls import HoldRefusal
from schemas.envelope import new_id
from services.settlement.refusals import Refusal, stored, utc_text


def test_a_budget_names_envelope_need_rest_and_reset() -> None:
    refusal = Refusal(
        code="budget_exceeded",
        bucket="credit",
        currency="USD",
        kind="project",
        entity="p1",
        window="day",
        needed_nano=750_000_000,
        left_nano=500_000_000,
        resets_at="2026-11-24T00:00:00Z",
    )
    assert refusal.message == (
        "the day limit of project p1 is reached: 0.75 USD needed, 0.50 USD left; it resets at 2026-11-24T00:00:00Z"
    )
    assert refusal.http_status == 429
    answer = HoldRefusal.model_validate(refusal.as_result(str(new_id())))
    assert answer.envelope is not None
    assert answer.envelope.id == "p1"


def test_a_run_at_its_budget_says_how_to_go_on() -> None:
    refusal = Refusal(
        code="budget_exceeded",
        bucket="credit",
        currency="USD",
        kind="run",
        entity="run_1/credit",
        window="run",
        needed_nano=2_000_000_000,
        left_nano=0,
    )
    assert refusal.message == (
        "the budget of run run_1 in bucket credit is reached: 2.00 USD needed, 0.00 USD left; extend the run to go on"
    )


RUNNING = "0.90 USD is held by requests that are still running"
DAY = {"kind": "project", "entity": "p1", "window": "day", "resets_at": "2026-11-24T00:00:00Z"}
TOTAL = {"kind": "project", "entity": "p1", "window": "total"}


@pytest.mark.parametrize(
    ("code", "fields", "passing", "said"),
    [
        ("budget_exceeded", DAY, True, "the day limit of project p1 is reached: {}; try again when they have ended"),
        ("budget_exceeded", DAY, False, "the day limit of project p1 is reached: {}; it resets at 2026-11-24T00:00:00Z"),
        ("budget_exceeded", TOTAL, True, "the total limit of project p1 is reached: {}; try again when they have ended"),
        ("budget_exceeded", TOTAL, False, "the total limit of project p1 is reached: {}"),
        (
            "budget_exceeded",
            {"kind": "run", "entity": "run_1/credit", "window": "run"},
            True,
            "the budget of run run_1 in bucket credit is reached: {}; try again when they have ended, "
            "or extend the run to go on",
        ),
        (
            "insufficient_balance",
            {},
            True,
            "the bucket credit cannot pay this request: {}; try again when they have ended, top it up, or lower max_tokens",
        ),
        (
            "insufficient_balance",
            {},
            False,
            "the bucket credit cannot pay this request: {}; top it up, or lower max_tokens",
        ),
    ],
)
def test_what_open_holds_are_in_the_way_of_says_so_and_what_helps(
    code: str, fields: dict[str, Any], passing: bool, said: str
) -> None:
    amounts: dict[str, Any] = {"needed_nano": 750_000_000, "left_nano": 100_000_000, "held_nano": 900_000_000}
    refusal = Refusal(code=code, bucket="credit", currency="USD", passing=passing, **amounts, **fields)
    assert refusal.message == said.format(f"0.75 USD needed, 0.10 USD left, {RUNNING}")
    answer = HoldRefusal.model_validate(refusal.as_result(str(new_id())))
    assert (answer.held_nano, answer.passing) == (900_000_000, passing)


def test_a_bucket_says_what_it_cannot_pay() -> None:
    facts: dict[str, Any] = {"bucket": "credit", "currency": "USD", "needed_nano": 2_000_000_000}
    short = Refusal(code="insufficient_balance", left_nano=1_000_000_000, **facts)
    assert short.message == (
        "the bucket credit cannot pay this request: 2.00 USD needed, 1.00 USD left; top it up, or lower max_tokens"
    )
    assert Refusal(code="insufficient_balance", **facts).message == (
        "the bucket credit cannot pay this request: 2.00 USD needed, more than any one request may hold;"
        " lower max_tokens, or send less"
    )
    total = Refusal(code="budget_exceeded", kind="key", entity="k", window="total", left_nano=0, **facts)
    assert total.message == "the total limit of key k is reached: 2.00 USD needed, 0.00 USD left"


@pytest.mark.parametrize(
    ("code", "window", "status"),
    [
        ("insufficient_balance", None, 402),
        ("budget_exceeded", "total", 402),
        ("budget_exceeded", "day", 429),
        ("budget_exceeded", "month", 429),
        ("key_frozen", None, 403),
        ("project_frozen", None, 403),
        ("account_frozen", None, 403),
        ("no_price", None, 503),
    ],
)
def test_the_status_says_what_would_lift_the_refusal(code: str, window: str | None, status: int) -> None:
    refusal = Refusal(
        code=code, bucket="credit", currency="USD", kind="key", entity="k", window=window, needed_nano=1, left_nano=0
    )
    assert refusal.http_status == status
    assert HoldRefusal.model_validate(refusal.as_result(str(new_id()))).message


def test_a_stored_refusal_reads_as_it_was_given() -> None:
    kept = {
        "code": "budget_exceeded",
        "kind": "key",
        "entity": "k",
        "window": "day",
        "needed_nano": 2,
        "left_nano": 1,
        "resets_at": "2026-11-24T00:00:00+00:00",
    }
    refusal = stored(kept, "credit", "USD")
    assert refusal.resets_at == "2026-11-24T00:00:00Z"
    assert stored({**kept, "resets_at": None}, "", "").bucket is None
    assert (refusal.held_nano, refusal.passing) == (None, False), "a row of before tells nothing of holds"
    again = stored({**kept, "held_nano": 3, "passing": True}, "credit", "USD")
    assert (again.held_nano, again.passing) == (3, True)


def test_instants_are_written_in_utc() -> None:
    assert utc_text(datetime(2026, 1, 2, tzinfo=UTC)) == "2026-01-02T00:00:00Z"
    assert utc_text(datetime(2026, 1, 2, 1, tzinfo=timezone(timedelta(hours=1)))) == "2026-01-02T00:00:00Z"
    assert utc_text(None) is None
