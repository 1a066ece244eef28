"""Server-sent events are read as the standard says, and a request is told on one line."""

from typing import Any

import pytest

from services.console import chat_turn
from services.console.server_events import events_of
from services.console.tail_command import said


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        ("event: request\ndata: {}\n\n", [("request", "{}")]),
        ("data: a\ndata: b\n\ndata:c\n\n", [("message", "a\nb"), ("message", "c")]),
        (": a comment\n\n", []),
        ("event: nothing\n\n", []),
        ("event: x\ndata:  two spaces\n\n", [("x", " two spaces")]),
        ("id: 7\nretry: 5\ndata: a: b\n\n", [("message", "a: b")]),
        ("data: cut", []),
    ],
)
def test_events_are_read_as_the_standard_says(stream: str, events: list[tuple[str, str]]) -> None:
    assert list(events_of(stream.split("\n"))) == events


def line(**fields: Any) -> dict[str, Any]:
    told = {
        **{"at": "2026-11-25T20:29:18.606123Z", "request_id": "r-1", "key_id": "abc", "key_name": "demo", "http_status": 200},
        **{"outcome": "succeeded", "error": None, "model": "gpt-4o", "answered_model": "gpt-4o", "channel": "main"},
        **{"route_type": "direct", "attempts": 1, "fallbacks": [], "bucket": "credit", "currency": "USD", "cost": "0.0002"},
        "latency_ms": 166.6,
    }
    return told | fields


def test_a_request_is_told_on_one_line() -> None:
    told = "20:29:18.606  200  gpt-4o  direct/main  1 attempt  credit 0.0002 USD  167 ms  demo (abc)  r-1"
    assert said(line()) == told


def test_a_line_says_what_was_not_as_asked() -> None:
    told = said(line(answered_model="gpt-4.1", attempts=2, fallbacks=["timeout"], key_name=""))
    assert "gpt-4o → gpt-4.1  direct/main  2 attempts, moved on by timeout" in told
    assert told.endswith("  abc  r-1")


def test_a_refusal_is_told_with_its_code_and_without_money() -> None:
    nothing = dict.fromkeys(("answered_model", "channel", "route_type", "bucket", "currency", "cost", "latency_ms"))
    told = said(line(outcome="rejected", error="key_frozen", http_status=403, attempts=0, **nothing))
    assert told == "20:29:18.606  403 key_frozen  gpt-4o  no route  0 attempts  nothing charged  demo (abc)  r-1"


def test_the_facts_of_an_answer_are_one_line() -> None:
    facts = {
        **{"model": "gpt-4o", "answered_model": "gpt-4.1", "route_type": "pooled", "channel": "pool", "attempts": 2},
        **{"fallbacks": ["timeout"], "input_tokens": 5, "output_tokens": 7, "bucket": "wallet", "cost": "0.1"},
        **{"currency": "CNY", "request_id": "r-1"},
    }
    assert chat_turn.said(facts) == (
        "gpt-4o answered by gpt-4.1 · pooled/pool · 2 attempts, moved on by timeout · 5 tokens in, 7 out · "
        "wallet paid 0.1 CNY · request r-1"
    )
    assert "nothing charged" in chat_turn.said({**facts, "cost": None})
