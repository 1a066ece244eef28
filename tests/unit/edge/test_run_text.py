"""A run as text says everything that its account says, and survives one that says little."""

from typing import Any

from services.edge.run_text import render_run

NONE = {"input_tokens": 0, "cached_input_tokens": 0, "cache_write_tokens": 0, "output_tokens": 0, "reasoning_tokens": 0}
SUMS = {"requests": 3, "attempts": 4, "tokens": NONE | {"input_tokens": 300, "output_tokens": 60}, "charge": "0.0125"}
RUN: dict[str, Any] = {
    "object": "run",
    "id": "run_1",
    "state": "closed",
    "close_reason": "deadline",
    "label": "research job",
    "account_id": "acc_1",
    "project_id": "prj_1",
    "key_id": "Q7mZk2XvB9tL",
    "key_name": "agent",
    "environment": "production",
    "tags": {"feature": "search"},
    "reserve": True,
    "rules": {"models": ["gpt-4o"], "route_types": None, "fallback": True, "cross_bucket": False, "max_attempts": 1},
    "opened_at": "2026-03-14T09:00:00Z",
    "deadline_at": "2026-03-14T09:45:00Z",
    "closing_at": "2026-03-14T09:45:01Z",
    "closed_at": "2026-03-14T09:45:02Z",
    "warnings": ["the day limit of key k has less than this budget"],
    "budgets": [
        {
            "bucket": "credit",
            "currency": "USD",
            "budget": "5.00",
            "spent": "0.0125",
            "held": "0.00",
            "left": "0.00",
            "returned": "4.9875",
            "returned_nano": 4_987_500_000,
            "overrun": "0.00",
            "overrun_nano": 0,
        }
    ],
    "totals": {
        "requests": 5,
        "answered": 3,
        "failed": 1,
        "refused": 1,
        "pending": 0,
        "attempts": 6,
        "retries": 1,
        "fallbacks": 2,
        "crossed_buckets": 1,
        "tokens": NONE | {"input_tokens": 300, "output_tokens": 60},
        "by_model": [{"model": "gpt-4o", "route_type": "direct", "bucket": "credit", "currency": "USD", **SUMS}],
        "by_route": [{"route_type": "direct", "bucket": "credit", "currency": "USD", **SUMS}],
        "by_bucket": [{"bucket": "credit", "currency": "USD", **SUMS}],
    },
    "failures": {
        "attempts": 2,
        "tokens": NONE | {"output_tokens": 9},
        "by_reason": [{"reason": "rate_limited", "attempts": 1}, {"reason": "timeout", "attempts": 1}],
        "would_have_cost": [{"currency": "USD", "amount": "0.0001", "amount_nano": 100_000}],
        "charged": [],
    },
    "timeline": {
        "data": [
            {
                "at": "2026-03-14T09:00:00Z",
                "kind": "opened",
                "deadline_at": "2026-03-14T09:45:00Z",
                "budgets": [{"bucket": "credit", "currency": "USD", "amount_nano": 5_000_000_000}],
            },
            {
                "at": "2026-03-14T09:01:00Z",
                "kind": "request",
                "request_id": "r-1",
                "status": "settled",
                "requested_model": "gpt-4o",
                "answered_model": "gpt-4.1",
                "attempts": 2,
                "retries": 1,
                "fallbacks": ["rate_limited"],
                "charge": "0.0125",
                "charge_nano": 12_500_000,
                "currency": "USD",
            },
            {
                "at": "2026-03-14T09:02:00Z",
                "kind": "refused",
                "request_id": "r-2",
                "code": "budget_exceeded",
                "message": "0.02 USD needed",
            },
            {"at": "2026-03-14T09:45:01Z", "kind": "closing"},
        ],
        "next_after": 4,
    },
    "explanation": ["Run run_1 was opened by key agent."],
}


def test_a_run_tells_who_what_how_much_and_why() -> None:
    text = render_run(RUN)
    for said in (
        "RUN  run_1   CLOSED",
        "agent (Q7mZk2XvB9tL)",
        "models gpt-4o; may fall back; never crosses buckets; 1 attempt at most",
        "set aside in its buckets",
        "2026-03-14T09:45:02Z (its deadline was over)",
        "credit       5.00 USD: spent 0.0125, held 0.00, left 0.00, returned 4.9875",
        "REQUESTS     5: 3 answered, 1 failed, 1 refused",
        "6 upstream calls, 1 retry, 2 fallbacks (1 into another bucket)",
        "gpt-4o · direct · credit  0.0125 USD  3 requests, 4 calls, tokens: 300 in, 60 out",
        "2 upstream calls failed: rate_limited 1, timeout 1",
        "burned tokens: 9 out",
        "would have cost: 0.0001 USD",
        "opened    5.00 USD of credit, until 2026-03-14T09:45:00Z",
        "gpt-4o → gpt-4.1, settled, 0.0125 USD, 1 retry, fell back: rate_limited  [r-1]",
        "budget_exceeded: 0.02 USD needed  [r-2]",
        "… and more: ask again with after=4",
        "• Run run_1 was opened by key agent.",
        "• the day limit of key k has less than this budget",
    ):
        assert said in text
    assert "None" not in text
    assert "under way" not in text
    assert "above its holds" not in text


def test_what_older_names_may_hold_is_written_out_and_breaks_no_line() -> None:
    text = render_run(RUN | {"label": "a\nRUN  run_9   OPEN", "key_name": "x\u202ey", "tags": {"t": "\x1b[2J"}})
    assert "label        a\\u000aRUN  run_9   OPEN" in text.splitlines()
    assert "x\\u202ey" in text
    assert "\x1b" not in text


def test_a_run_that_nothing_has_joined_says_little_and_nothing_wrong() -> None:
    bare = {"id": "run_2", "state": "open", "key_id": "k", "reserve": False, "rules": {}, "budgets": []}
    text = render_run(bare)
    assert "a limit only, nothing is set aside" in text
    assert "those of its key" in text
    for absent in ("None", "BUDGET", "REQUESTS", "FAILURES", "TIMELINE", "WHY"):
        assert absent not in text


def test_what_was_charged_above_a_hold_or_for_a_broken_stream_is_said() -> None:
    budget = RUN["budgets"][0] | {"overrun": "0.001", "overrun_nano": 1_000_000}
    failures = RUN["failures"] | {"charged": [{"currency": "USD", "amount": "0.002", "amount_nano": 2_000_000}]}
    text = render_run(RUN | {"budgets": [budget], "failures": failures})
    assert "above its holds 0.001" in text
    assert "charged for what had been streamed: 0.002 USD" in text
