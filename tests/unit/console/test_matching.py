"""Invoice against ledger."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.console.reconcile.invoice import Line
from services.console.reconcile.ledger_side import Attempt, LedgerSide, UnknownEnd
from services.console.reconcile.matching import Report, match_days, match_lines

NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)
SINCE, UNTIL = NOON - timedelta(hours=1), NOON + timedelta(hours=1)


def line(number: int = 2, **fields: Any) -> Line:
    made: dict[str, Any] = {
        "number": number,
        "ids": (f"chatcmpl-{number}", f"req_{number}"),
        "day": NOON.date(),
        "at": NOON,
        "model": "gpt-4o",
        "requests": None,
        "prompt": 100,
        "output": 20,
        "cost_nano": 1000,
        "currency": "USD",
    }
    return Line(**{**made, **fields})


def attempt(number: int = 2, **fields: Any) -> Attempt:
    made: dict[str, Any] = {
        "request_id": f"r{number}",
        "number": 1,
        "account": "a",
        "channel": "openai-main",
        "model": "gpt-4o",
        "started_at": NOON,
        "ended_at": NOON + timedelta(seconds=1),
        "outcome": "succeeded",
        "error_class": None,
        "prompt": 100,
        "output": 20,
        "source": "reported",
        "cost_nano": 1000,
        "currency": "USD",
        "upstream_id": f"chatcmpl-{number}",
    }
    return Attempt(**{**made, **fields})


def silent(number: int, **fields: Any) -> Attempt:
    nothing = {"upstream_id": None, "outcome": "failed", "error_class": "timeout", "prompt": 0, "output": 0, "source": "none"}
    return attempt(number, **{**nothing, "cost_nano": None, "currency": None, **fields})


def unknown(**fields: Any) -> UnknownEnd:
    made: dict[str, Any] = {
        "hold_id": "h",
        "request_id": "r-lost",
        "account": "a",
        "channels": ("openai-main",),
        "models": ("gpt-4o",),
        "placed_at": NOON,
        "expires_at": NOON + timedelta(minutes=2),
        "state": "EXPIRED",
    }
    return UnknownEnd(**{**made, **fields})


def by_line(lines: list[Line], attempts: list[Attempt], ends: list[UnknownEnd] | None = None) -> Report:
    return match_lines(lines, LedgerSide(attempts, ends or []), SINCE, UNTIL)


def test_a_bill_that_the_ledger_has_is_captured_whole() -> None:
    report = by_line([line(2), line(3)], [attempt(2), attempt(3, upstream_id="req_3")])
    assert (report.matched, report.unexplained) == (2, 0)
    assert (report.only_provider, report.only_ledger, report.different, report.exposure) == ([], [], [], [])
    assert (report.cost["USD"].rate, report.tokens.rate) == (1.0, 1.0)


def test_a_line_for_a_call_that_timed_out_is_explained_by_it_and_not_captured() -> None:
    report = by_line([line(2), line(9)], [attempt(2), silent(5)])
    [only] = report.only_provider
    assert (only["line"], "request r5" in only["why"], "timeout" in only["why"]) == (9, True, True)
    [exposed] = report.exposure
    assert (exposed["request_id"], exposed["billed_on_line"]) == ("r5", 9)
    assert only["at"] == exposed["started_at"] == "2026-03-14T12:00:00Z"
    assert (report.cost["USD"].rate, report.unexplained) == (0.5, 0)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 429])
def test_a_refusal_is_an_answer_and_neither_exposes_nor_explains_anything(status: int) -> None:
    refused = silent(5, error_class="invalid_request", http_status=status, most_prompt=100, most_output=20)
    report = by_line([line(9)], [refused])
    assert (report.exposure, report.only_provider[0]["why"]) == ([], None)
    day = by_day([day_line()], [attempt(2), attempt(3), refused])
    assert (day.exposure, day.different, day.only_ledger) == ([], [], [])
    assert by_day([day_line(requests=3)], [attempt(2), attempt(3), refused]).different[0]["why"] is None
    assert by_day([day_line(requests=1)], [attempt(2), attempt(3), refused]).different[0]["why"] is None


@pytest.mark.parametrize("status", [None, 200, 408, 500, 502, 503])
def test_a_call_that_a_provider_may_have_worked_on_stays_exposed(status: int | None) -> None:
    assert [each["request_id"] for each in by_line([], [silent(5, http_status=status)]).exposure] == ["r5"]


def test_the_status_comes_with_the_ledgers_row() -> None:
    usage = {"input_tokens": 0, "cached_input_tokens": 0, "cache_write_tokens": 0, "output_tokens": 0, "reasoning_tokens": 0}
    row = {
        "request_id": "r",
        "attempt": 1,
        "account_id": "a",
        "channel": "openai-main",
        "upstream_model": "gpt-4o",
        "started_at": NOON.isoformat(),
        "latency_ms": 3.0,
        "outcome": "failed",
        "error_class": "invalid_request",
        "http_status": 400,
        "usage": usage,
        "usage_source": "none",
        "operator_cost_nano": None,
        "operator_cost_currency": None,
        "upstream_id": None,
    }
    assert (Attempt.of(row).refused, Attempt.of(row).unanswered) == (True, False)
    lost = Attempt.of({**row, "error_class": "timeout", "http_status": None})
    assert (lost.refused, lost.unanswered) == (False, True)


def test_each_silent_call_explains_one_line_and_only_of_its_model_and_time() -> None:
    lines = [line(7), line(8), line(9, model="gpt-5"), line(10, at=NOON + timedelta(minutes=30))]
    report = by_line(lines, [silent(5)])
    assert [entry["why"] is None for entry in report.only_provider] == [False, True, True, True]
    assert report.unexplained == 3


def test_the_silent_call_that_began_nearest_is_taken() -> None:
    late = silent(6, started_at=NOON + timedelta(seconds=3), ended_at=NOON + timedelta(seconds=4))
    report = by_line([line(9, at=NOON + timedelta(seconds=3))], [silent(5, ended_at=NOON + timedelta(seconds=9)), late])
    assert "request r6" in report.only_provider[0]["why"]


def test_a_request_that_never_completed_explains_a_line() -> None:
    report = by_line([line(9, at=NOON + timedelta(seconds=30)), line(10)], [], [unknown()])
    assert [entry["why"] for entry in report.only_provider] == ["request r-lost, which never completed (hold h)", None]
    assert report.exposure[0]["error_class"] == "hold expired"


def test_a_reply_that_is_billed_twice_is_named() -> None:
    report = by_line([line(2), line(3, ids=("chatcmpl-2",))], [attempt(2)])
    [only] = report.only_provider
    assert (only["line"], only["note"], only["why"]) == (3, "bills the same reply as line 2", None)
    assert report.cost["USD"].rate == 0.5


def test_other_tokens_are_explained_only_where_the_ledger_did_not_have_them_from_the_reply() -> None:
    cut = attempt(2, outcome="failed", error_class="connection_failed", prompt=0, output=0, source="none", cost_nano=None)
    counted, wrong = attempt(3, output=19, source="estimated"), attempt(4, output=19)
    report = by_line([line(2), line(3), line(4)], [cut, counted, wrong])
    assert [(entry["line"], entry["why"] is None) for entry in report.different] == [(2, False), (3, False), (4, True)]
    assert report.different[2]["output_tokens"] == {"provider": 20, "ledger": 19}
    assert report.unexplained == 1


def test_what_only_the_ledger_has_is_explained_unless_it_succeeded_by_the_providers_own_figures() -> None:
    burned = attempt(3, outcome="failed", error_class="upstream_error")
    outside = attempt(5, started_at=UNTIL + timedelta(seconds=1))
    report = by_line([line(2)], [attempt(2), burned, attempt(4), outside])
    assert [(entry["request_id"], entry["why"]) for entry in report.only_ledger] == [
        ("r3", "the provider bills no upstream_error"),
        ("r4", None),
    ]


def test_costs_of_different_currencies_are_never_added() -> None:
    report = by_line([line(2), line(3, currency="CNY", cost_nano=500)], [attempt(2), attempt(3)])
    assert {currency: (share.billed, share.captured) for currency, share in report.cost.items()} == {
        "USD": (1000, 1000),
        "CNY": (500, 500),
    }, "a cost in another currency than the ledger's is captured by its tokens"


def test_a_dearer_bill_is_captured_only_as_far_as_the_ledger_knows() -> None:
    report = by_line([line(2, cost_nano=4000)], [attempt(2)])
    assert report.cost["USD"].rate == 0.25
    assert report.different[0]["cost_nano"] == {"provider": 4000, "ledger": 1000}


def by_day(lines: list[Line], attempts: list[Attempt]) -> Report:
    day = NOON.replace(hour=0)
    return match_days(lines, LedgerSide(attempts, []), day, day + timedelta(days=1))


def day_line(number: int = 2, **fields: Any) -> Line:
    return line(number, **{"ids": (), "at": None, "requests": 2, "prompt": 200, "output": 40, "cost_nano": 2000, **fields})


def test_sums_of_days_and_models_are_compared() -> None:
    report = by_day([day_line()], [attempt(2), attempt(3)])
    assert (report.matched, report.unexplained, report.different) == (1, 0, [])
    assert (report.cost["USD"].rate, report.tokens.rate) == (1.0, 1.0)


def test_a_days_excess_is_explained_by_calls_that_nothing_came_back_of_as_far_as_they_can_have_come() -> None:
    lost = silent(4, most_prompt=100, most_output=50)
    report = by_day([day_line(requests=3, prompt=300, output=90)], [attempt(2), attempt(3), lost])
    assert report.different[0]["why"] == "1 call of which nothing came back: 100 prompt and 50 output tokens at the most"
    for beyond in (
        day_line(requests=4, prompt=300, output=60),
        day_line(requests=3, prompt=301, output=60),
        day_line(requests=3, prompt=300, output=91),
        day_line(requests=2, prompt=30_000, output=4_000),
        day_line(requests=3, prompt=199, output=60),
    ):
        assert by_day([beyond], [attempt(2), attempt(3), lost]).different[0]["why"] is None


def test_without_a_recorded_bound_a_lost_call_explains_no_tokens() -> None:
    report = by_day([day_line(requests=3, prompt=300, output=60)], [attempt(2), attempt(3), silent(4)])
    assert report.different[0]["why"] is None


def test_what_tollbook_counted_itself_explains_a_day_only_within_what_was_counted() -> None:
    guessed = attempt(3, source="estimated", most_prompt=100, most_output=30)
    for output, explained in ((50, True), (51, False), (20, True), (19, False)):
        report = by_day([day_line(output=output)], [attempt(2), guessed])
        assert (report.different[0]["why"] is not None) is explained, output


def test_a_day_that_the_ledger_knows_lost_calls_of_alone_is_bounded_too() -> None:
    lost = [silent(number, most_prompt=100, most_output=20) for number in (2, 3)]
    assert by_day([day_line()], lost).only_provider[0]["why"] is not None
    assert by_day([day_line(output=41)], lost).only_provider[0]["why"] is None


def test_a_line_bills_no_more_than_its_call_can_have_come_to() -> None:
    cut = attempt(
        2, outcome="failed", error_class="cancelled", prompt=0, output=0, source="none", most_prompt=100, most_output=20
    )
    assert by_line([line(2)], [cut]).different[0]["why"] is not None
    assert by_line([line(2, output=21)], [cut]).different[0]["why"] is None
    lost = silent(5, most_prompt=100, most_output=19)
    assert by_line([line(9)], [lost]).only_provider[0]["why"] is None


def test_a_model_that_only_one_side_knows_is_named() -> None:
    report = by_day([day_line(model="gpt-5")], [attempt(2)])
    assert [entry["model"] for entry in report.only_provider] == ["gpt-5"]
    assert [entry["model"] for entry in report.only_ledger] == ["gpt-4o"]
    assert report.unexplained == 2


def test_nothing_billed_has_no_capture_rate() -> None:
    assert by_line([], [attempt(2)]).tokens.rate is None
