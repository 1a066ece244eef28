"""Receipts: complete, and in sentences."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from schemas.attempts import Fallback, RequestCompleted
from schemas.calls import HoldRequest
from schemas.money import Prices, Usage
from services.edge.receipt_text import render_receipt
from services.settlement.price_file import parse_book
from services.settlement.receipts import arithmetic, receipt
from tests.integration.settlement.requests_made import attempt_on, candidate, completion, hold_for

BOOK = parse_book(
    """
buckets: [{id: credit, currency: USD, route_types: [direct]}]
prices:
  - {route_type: direct, model: gpt-4o, currency: USD, input: "2.5", output: "10"}
  - {route_type: direct, model: gpt-4o-mini, currency: USD, input: "0.15", output: "0.6"}
"""
).as_book(3)
PLACED = datetime(2026, 11, 23, 12, tzinfo=UTC)
FIELDS = {
    *("object", "request_id", "status", "account_id", "project_id", "key_id", "key_name", "environment", "tags", "run_id"),
    *("client_request_id", "client_api", "requested_model", "answered_model", "stream", "accepted_at", "settled_at"),
    *("latency_ms", "ttft_ms", "overhead_ms", "plan", "attempts", "fallbacks", "charge", "balance", "holds", "refusal"),
    *("explanation", "cases", "refunds", "table_version"),
}


def hold_row(request: HoldRequest, **fields: Any) -> dict[str, Any]:
    """A hold as the ledger keeps it."""
    detail: dict[str, Any] = {
        "key_name": "checkout",
        "environment": "default",
        "tags": {},
        "run_id": None,
        "candidates": [[each.channel, each.route_type, each.model] for each in request.candidates],
        "requested_model": request.requested_model,
        "client_api": request.client_api,
    }
    row = {
        "id": request.hold_id,
        "project_id": "p",
        "key_id": "k",
        "bucket": "credit",
        "currency": "USD",
        "state": "HELD",
        "amount_nano": 2_250_000,
        "captured_nano": 0,
        "released_nano": 0,
        "price_version": 3,
        "output_cap": 100,
        "placed_at": PLACED,
        "run": "",
        "reserved": False,
        "ended_at": None,
        "detail": detail,
        "refusal": None,
    }
    return {**row, **fields}


def settled_row(event: RequestCompleted, **fields: Any) -> dict[str, Any]:
    """A receipt's row as the ledger keeps it."""
    row = {
        "status": "settled",
        "charged_hold": None,
        "charge_nano": 0,
        "overrun_nano": 0,
        "written_off_nano": 0,
        "completed": event.to_json().decode(),
        "settled_at": PLACED,
        "before_nano": None,
        "after_nano": None,
    }
    return {**row, **fields}


def written(request: HoldRequest, holds: list[dict[str, Any]], settled: dict[str, Any] | None = None) -> dict[str, Any]:
    """The receipt."""
    moves: dict[UUID, tuple[int, int]] = {request.hold_id: (10, 4)}
    return receipt(
        account_id="a",
        request_id=request.request_id,
        holds=holds,
        settled=settled,
        expiry_moves=moves,
        cases=[],
        book_of=lambda version: BOOK if version == 3 else None,
    )


def fallen_back() -> tuple[HoldRequest, dict[str, Any]]:
    """A request whose first channel failed after it had used tokens."""
    request = hold_for("a", candidates=[candidate(), candidate(model="gpt-4o-mini", channel="backup")])
    attempts = [
        attempt_on(request, outcome="failed", error_class="rate_limited", http_status=429, usage=Usage(input_tokens=100)),
        attempt_on(request, 2, channel="backup", upstream_model="gpt-4o-mini"),
    ]
    move = Fallback(from_channel="openai-main", to_channel="backup", from_attempt=1, to_attempt=2, reason="rate_limited")
    event = completion(request, attempts=attempts, charged=2, fallbacks=[move], table_version=7)
    held = hold_row(request, state="CAPTURED", captured_nano=82_500, released_nano=2_167_500, ended_at=PLACED)
    settled = settled_row(event, charged_hold=request.hold_id, charge_nano=82_500, before_nano=100_000, after_nano=17_500)
    return request, written(request, [held], settled)


def test_a_receipt_has_every_field_of_the_contract() -> None:
    _, found = fallen_back()
    assert set(found) == FIELDS
    request = hold_for("a")
    assert set(written(request, [hold_row(request)])) == FIELDS


def test_each_attempt_shows_what_it_cost_or_would_have_cost_at_its_own_models_price() -> None:
    _, found = fallen_back()
    assert [(each["cost_nano"], each["charged"]) for each in found["attempts"]] == [(250_000, False), (82_500, True)]
    assert found["answered_model"] == "gpt-4o-mini"


def test_a_receipt_names_the_versions_that_the_request_used() -> None:
    _, found = fallen_back()
    assert (found["table_version"], found["charge"]["price_version"]) == (7, 3)
    assert "routes       version 7\n" in render_receipt(found)
    assert "prices       version 3\n" in render_receipt(found)


def test_the_charge_can_be_followed() -> None:
    _, found = fallen_back()
    times = "\N{MULTIPLICATION SIGN}"
    assert found["charge"]["arithmetic"] == f"374 {times} 0.15/M + 44 {times} 0.60/M = 0.0000825"
    assert found["charge"]["price_version"] == 3
    assert found["balance"] == {"before_nano": 100_000, "after_nano": 17_500, "run": None}


def test_the_explanation_tells_what_happened_in_order() -> None:
    _, found = fallen_back()
    times = "\N{MULTIPLICATION SIGN}"
    assert found["explanation"] == [
        f"Key checkout of project project-1 asked for gpt-4o at {found['accepted_at']}.",
        "Attempt 1 went to gpt-4o on channel openai-main (direct) and failed: it was limited by the provider; "
        "it used 100 tokens in and 0 out; it is not charged.",
        "Attempt 2 went to gpt-4o-mini on channel backup (direct) and was answered in 12 ms: 374 tokens in, 44 tokens out.",
        "The plan moved from openai-main to backup because it was limited by the provider.",
        f"0.0000825 USD was charged to bucket credit at price book 3: 374 {times} 0.15/M + 44 {times} 0.60/M = 0.0000825 USD.",
        "0.00225 USD had been held before the call; 0.0021675 USD of it went back.",
        "The balance went from 0.0001 USD to 0.0000175 USD.",
    ]


def test_a_refused_request_says_why() -> None:
    found = refused()
    assert found["status"] == "refused"
    assert found["refusal"]["envelope"] == {"kind": "bucket", "id": "credit", "window": None}
    assert (found["refusal"]["needed_nano"], found["refusal"]["left_nano"]) == (2_250_000, 1_000_000)
    assert found["refusal"]["message"] in found["explanation"][-1]
    assert found["charge"] is None


def test_a_pending_request_says_what_is_held() -> None:
    request = hold_for("a")
    found = written(request, [hold_row(request)])
    assert found["status"] == "pending"
    assert "0.00225 USD is held for it" in found["explanation"][-1]
    assert found["plan"][0]["channel"] == "openai-main"


def test_an_expired_request_shows_its_charge_and_balance() -> None:
    request = hold_for("a")
    found = written(request, [hold_row(request, state="EXPIRED", captured_nano=6, released_nano=2_249_994, ended_at=PLACED)])
    assert (found["status"], found["charge"]["amount_nano"]) == ("expired", 6)
    assert found["balance"] == {"before_nano": 10, "after_nano": 4, "run": None}
    assert "did not end in time" in " ".join(found["explanation"])


ASKED = {"requested_model": "smart", "client_api": "messages"}


def refused() -> dict[str, Any]:
    """The receipt of a request that its bucket could not pay."""
    request = hold_for("a", **ASKED)
    refusal = {
        "code": "insufficient_balance",
        "kind": None,
        "entity": None,
        "window": None,
        "needed_nano": 2_250_000,
        "left_nano": 1_000_000,
        "resets_at": None,
    }
    return written(request, [hold_row(request, state="REFUSED", amount_nano=0, refusal=refusal)])


def test_a_receipt_of_what_an_alerts_freeze_refused_names_the_alert() -> None:
    request = hold_for("a", **ASKED)
    told: dict[str, Any] = {"code": "key_frozen", "kind": "key", "entity": "k", "window": None, "resets_at": None}
    row = hold_row(request, state="REFUSED", amount_nano=0, refusal=told | {"needed_nano": None, "left_nano": None})
    row["detail"]["frozen_why"] = "rule runaway, alert 0199: 400,000 tokens/min exceeded 200,000"
    found = written(request, [row])
    assert f"the key k is frozen by an alert ({row['detail']['frozen_why']})" in found["refusal"]["message"]
    assert found["refusal"]["message"] in found["explanation"][-1]


def unsettled(state: str) -> dict[str, Any]:
    """The receipt of a request with two places, whose end nobody recorded."""
    request = hold_for("a", candidates=[candidate(), candidate(model="gpt-4o-mini", channel="backup")], **ASKED)
    return written(request, [hold_row(request, state=state, captured_nano=6, released_nano=2_249_994)])


@pytest.mark.parametrize("state", ["HELD", "EXPIRED"])
def test_a_request_without_a_record_of_its_end_tells_what_its_hold_was_for(state: str) -> None:
    found = unsettled(state)
    assert found["explanation"][:2] == [
        f"Key checkout of project p asked for smart at {found['accepted_at']}.",
        "It was to be answered by gpt-4o on channel openai-main (direct), or by gpt-4o-mini on channel backup (direct).",
    ]
    text = render_receipt(found)
    assert "asked for    smart over messages\n" in text
    assert "  openai-main (direct) → gpt-4o\n  backup (direct) → gpt-4o-mini\n" in text


def test_a_refused_request_names_what_it_asked_for() -> None:
    found = refused()
    assert (found["requested_model"], found["client_api"], found["answered_model"]) == ("smart", "messages", None)
    assert found["explanation"][0] == f"Key checkout of project p asked for smart at {found['accepted_at']}."
    assert "asked for    smart over messages\n" in render_receipt(found)


def test_a_hold_of_a_release_before_does_not_say_what_was_asked_for() -> None:
    request = hold_for("a")
    row = hold_row(request)
    for name in ASKED:
        del row["detail"][name]
    found = written(request, [row])
    assert found["explanation"][0] == f"Key checkout of project p asked for a model at {found['accepted_at']}."


def test_no_receipt_of_any_status_says_none() -> None:
    receipts = [unsettled("HELD"), unsettled("EXPIRED"), refused(), released(), fallen_back()[1]]
    assert {each["status"] for each in receipts} == {"pending", "expired", "refused", "released", "settled"}
    for each in receipts:
        assert "None" not in render_receipt(each), each["status"]
        assert "null" not in render_receipt(each), each["status"]


def released() -> dict[str, Any]:
    """The receipt of a request whose client left before there was anything to charge."""
    request = hold_for("a")
    event = completion(request, charged=None, attempts=[attempt_on(request, outcome="cancelled", error_class="client_gone")])
    held = hold_row(request, state="RELEASED", released_nano=2_250_000, ended_at=PLACED)
    return written(request, [held], settled_row(event, status="released"))


def test_a_released_request_costs_nothing() -> None:
    found = released()
    assert (found["status"], found["charge"]) == ("released", None)
    assert "was cancelled: the client had gone" in found["explanation"][1]
    assert not any("Nothing was sent" in sentence for sentence in found["explanation"])


@pytest.mark.parametrize(
    ("error_class", "why"),
    [
        ("client_gone", "the client left before that"),
        ("not_translatable", "no provider of the plan has a word for a part of the request"),
        ("rate_limited", "every channel of the plan had come to a limit by then"),
        ("upstream_unavailable", "no channel of the plan could be called by then"),
    ],
)
def test_a_request_that_ended_before_its_first_call_says_why_nothing_was_sent(error_class: str, why: str) -> None:
    request = hold_for("a")
    event = completion(request, charged=None, attempts=[], error_class=error_class)
    held = hold_row(request, state="RELEASED", released_nano=2_250_000, ended_at=PLACED)
    found = written(request, [held], settled_row(event, status="released"))
    assert found["explanation"][1:] == [
        f"Nothing was sent to a provider: {why}.",
        "Nothing is charged: what was held went back to the balance.",
    ]
    assert f"Nothing was sent to a provider: {why}." in render_receipt(found)


@pytest.mark.parametrize("error_class", ["internal", "log_unavailable"])
def test_nothing_is_said_of_what_was_sent_where_tollbook_itself_failed(error_class: str) -> None:
    request = hold_for("a")
    event = completion(request, charged=None, attempts=[], error_class=error_class)
    found = written(request, [hold_row(request, state="RELEASED", ended_at=PLACED)], settled_row(event, status="released"))
    assert not any("sent" in sentence for sentence in found["explanation"])


def test_a_plan_that_moved_on_from_what_a_provider_cannot_be_told_says_so_and_shows_no_attempt_there() -> None:
    request = hold_for("a", candidates=[candidate(channel="backup")])
    move = Fallback(from_channel="claude", to_channel="backup", to_attempt=1, reason="not_translatable")
    event = completion(request, attempts=[attempt_on(request, channel="backup")], fallbacks=[move])
    held = hold_row(request, state="CAPTURED", captured_nano=6, ended_at=PLACED)
    found = written(request, [held], settled_row(event, charged_hold=request.hold_id))
    assert "Attempt 1 went to gpt-4o on channel backup" in found["explanation"][1]
    assert found["explanation"][2] == (
        "The plan moved from claude to backup because the provider of the first has no word for a part of the request, so that"
        " nothing was sent to it."
    )


@pytest.mark.parametrize(
    ("usage", "text"),
    [
        (Usage(), "0 = 0.00"),
        (
            Usage(input_tokens=1, cached_input_tokens=2, cache_write_tokens=3, output_tokens=4),
            "1 x 1.00/M + 2 cached x 0.50/M + 3 cache-write x 2.00/M + 4 x 3.00/M = 0.00",
        ),
    ],
)
def test_the_arithmetic_names_every_class_of_tokens(usage: Usage, text: str) -> None:
    prices = Prices.parse("1", "3", "0.5", "2")
    assert arithmetic(prices, usage, 0) == text.replace(" x ", " \N{MULTIPLICATION SIGN} ")


@pytest.mark.parametrize(("source", "said"), [("estimated", 1), ("reported", 0)])
def test_the_explanation_of_a_count_that_is_not_the_providers_names_the_cap(source: str, said: int) -> None:
    request = hold_for("a")
    event = completion(request, attempts=[attempt_on(request, usage_source=source)])
    held = hold_row(request, state="CAPTURED", captured_nano=100, released_nano=2_249_900, ended_at=PLACED)
    found = written(request, [held], settled_row(event, charged_hold=request.hold_id, charge_nano=100))
    assert sum("at most 100 tokens out for each choice" in sentence for sentence in found["explanation"]) == said
