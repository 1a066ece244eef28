"""A receipt as text says everything that the receipt says, and survives one that says little."""

from typing import Any

from services.edge.receipt_text import render_receipt

ATTEMPT = {"channel": "openai-main", "route_type": "direct", "brand": "openai", "upstream_model": "gpt-4o", "latency_ms": 31.54}
RECEIPT: dict[str, Any] = {
    "object": "receipt",
    "request_id": "019a1f3c-5b7e-7c41-9d52-3f0b8e6a1c27",
    "status": "settled",
    "account_id": "acc_1",
    "project_id": "prj_1",
    "key_id": "Q7mZk2XvB9tL",
    "key_name": "checkout-bot",
    "environment": "production",
    "tags": {"feature": "search", "customer": "acme"},
    "client_api": "chat.completions",
    "requested_model": "gpt-4o",
    "answered_model": "gpt-4o",
    "stream": True,
    "latency_ms": 846.2,
    "ttft_ms": None,
    "overhead_ms": 3.5,
    "plan": [{"channel": "openai-main", "route_type": "direct", "brand": "openai", "upstream_model": "gpt-4o"}],
    "attempts": [
        {
            **ATTEMPT,
            "attempt": 1,
            "outcome": "failed",
            "error_class": "rate_limited",
            "http_status": 429,
            "usage": {"input_tokens": 374, "output_tokens": 12},
            "charged": False,
            "cost_nano": 5_000_000,
            "cost_currency": "CNY",
        },
        {
            **ATTEMPT,
            "attempt": 2,
            "channel": "openai-backup",
            "outcome": "succeeded",
            "http_status": 200,
            "usage": {"input_tokens": 246, "cached_input_tokens": 128, "output_tokens": 44, "reasoning_tokens": 0},
            "charged": True,
            "cost_nano": 1_215_000,
        },
    ],
    "fallbacks": [
        {"from_channel": "openai-main", "to_channel": "openai-backup", "reason": "rate_limited", "crossed_bucket": False}
    ],
    "charge": {
        "bucket": "credit",
        "currency": "USD",
        "amount_nano": 1_215_000,
        "amount": "0.001215",
        "price_version": 3,
        "hold_nano": 167_580_000,
        "released_nano": 166_365_000,
        "overrun_nano": 0,
        "arithmetic": "246 at 2.50/M + 128 at 1.25/M + 44 at 10.00/M = 0.001215",
    },
    "balance": {"before_nano": 25_000_000_000, "after_nano": 24_998_785_000},
    "refusal": None,
    "explanation": ["openai-main was rate limited, so openai-backup answered."],
}


def test_a_settled_receipt_tells_who_what_why_and_how_much() -> None:
    text = render_receipt(RECEIPT)
    for said in (
        "RECEIPT  019a1f3c-5b7e-7c41-9d52-3f0b8e6a1c27   SETTLED",
        "checkout-bot (Q7mZk2XvB9tL)",
        "feature=search, customer=acme",
        "gpt-4o over chat.completions, streamed",
        "whole 846.2 ms, Tollbook's own 3.5 ms",
        "1. openai-main → gpt-4o: failed: rate_limited (HTTP 429)",
        "31.5 ms, tokens: 374 in, 12 out, not charged (it would have been 0.005 CNY)",
        "2. openai-backup → gpt-4o: succeeded (HTTP 200)",
        "tokens: 246 in, 128 cached, 44 out, charged: 0.001215 USD",
        "openai-main → openai-backup: rate_limited",
        "246 at 2.50/M + 128 at 1.25/M + 44 at 10.00/M = 0.001215",
        "0.16758 USD",
        "25.00 → 24.998785 USD",
        "• openai-main was rate limited, so openai-backup answered.",
    ):
        assert said in text
    assert "None" not in text


def test_a_receipt_that_a_runs_reserve_paid_says_so() -> None:
    balance = RECEIPT["balance"] | {"run": "run_1"}
    text = render_receipt(RECEIPT | {"run_id": "run_1", "balance": balance})
    assert "run          run_1" in text
    assert "25.00 → 24.998785 USD, in the reserve of run run_1" in text


def test_a_refusal_says_why_and_shows_no_charge() -> None:
    refusal = {"code": "insufficient_balance", "message": "0.01 USD left, 0.17 USD needed."}
    bare = {
        "request_id": "r",
        "status": "refused",
        "key_id": "k",
        "requested_model": "m",
        "client_api": "a",
        "refusal": refusal,
    }
    text = render_receipt(bare)
    assert "REFUSED      insufficient_balance: 0.01 USD left, 0.17 USD needed." in text
    assert "CHARGE" not in text
    assert "ATTEMPTS" not in text
    assert "None" not in text


def test_refunds_say_where_they_went() -> None:
    refund = {
        "at": "2026-03-15T08:00:00Z",
        "amount_nano": 1_000_000,
        "currency": "USD",
        "bucket": "credit",
        "reason": "cut short",
    }
    text = render_receipt({**RECEIPT, "refunds": [refund | {"run_id": None}, refund | {"run_id": "run_1"}]})
    assert "REFUNDS" in text
    assert "  2026-03-15T08:00:00Z  0.001 USD to credit: cut short" in text
    assert "0.001 USD to the reserve of run run_1: cut short" in text
    assert "REFUNDS" not in render_receipt(RECEIPT)


def test_the_seal_is_told_in_words() -> None:
    entries = [{"txn_id": "t", "seq": 12, "leaf_hash": "00"}]
    sealed = {"status": "sealed", "entries": entries, "checkpoint_size": 40, "checkpoint_at": "2026-03-16T10:00:00+00:00"}
    assert "SEAL         entry 12 of 40, signed at 2026-03-16T10:00:00+00:00" in render_receipt(RECEIPT | {"seal": sealed})
    assert "SEAL         pending seal" in render_receipt(RECEIPT | {"seal": {"status": "pending"}})
    assert "SEAL         nothing to seal: no money moved" in render_receipt(RECEIPT | {"seal": {"status": "none"}})
    assert "SEAL" not in render_receipt(RECEIPT)
