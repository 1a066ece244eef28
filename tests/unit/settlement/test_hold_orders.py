"""What the hold function is asked, and what its decision is answered as."""

import json
from typing import Any

import pytest

from schemas.calls import HoldRequest
from schemas.money import INT64_MAX
from services.settlement.bounds import UnitPrice
from services.settlement.holds import HoldOrder, answer_again, covered_prices, refused
from services.settlement.refusals import Stop
from tests.integration.settlement.requests_made import candidate, hold_for
from tests.unit.settlement.test_settling import BOOK

DIRECT = BOOK.prices["direct", "gpt-4o"]
NOTHING: dict[str, Any] = {"code": "", "kind": None, "entity": None, "window": None}
ROW: dict[str, Any] = {"bucket": "credit", "currency": "USD", "amount_nano": 9, "price_version": 1, "output_cap": 3}
ROW |= {"refusal": None, "frozen_why": None}


def order(frozen: str | None = None, why: str | None = None, **fields: Any) -> HoldOrder:
    """The order of a hold for gpt-4o on a direct route."""
    return HoldOrder(hold_for("a", **fields), BOOK, None if frozen is None else Stop(frozen, why))


def test_the_first_candidates_bucket_pays_for_those_that_share_it() -> None:
    places = [candidate("direct"), candidate("pooled"), candidate("direct", "none"), candidate("subscription")]
    made = order(candidates=places)
    assert (made.bucket, made.currency, made.code, made.needed_nano) == ("credit", "USD", None, None)
    assert made.prices == [DIRECT, None, None, None]
    assert made.unit_prices == [UnitPrice(2_500_000_000, 10_000_000_000)]
    assert covered_prices(hold_for("a", candidates=[places[1], places[0]]), BOOK) == [BOOK.prices["pooled", "gpt-4o"], None]


def test_a_hold_without_any_price_is_refused_before_the_balance() -> None:
    made = order(candidates=[candidate("direct", "none")])
    assert (made.code, made.bucket, made.needed_nano) == ("no_price", "credit", None)
    made = order(candidates=[candidate("subscription")])
    assert (made.code, made.bucket, made.currency) == ("no_price", "", "")


def test_what_is_frozen_comes_first() -> None:
    assert order("key_frozen").code == "key_frozen"
    assert order("key_frozen", candidates=[candidate("direct", "none")]).code == "key_frozen"


def test_a_refusal_by_an_alerts_freeze_says_which_alert_the_first_time_and_again() -> None:
    why = "rule runaway, alert 0199: 400,000 tokens/min exceeded 200,000"
    made = order("key_frozen", why)
    facts = {**NOTHING, "code": "key_frozen", "kind": "key", "entity": "k", "needed_nano": None, "left_nano": None}
    first = refused(made, {**facts, "resets_at": None})
    assert first["message"] == (
        f"the key k is frozen by an alert ({why}): nothing new is paid for it;"
        " an owner of the account can unfreeze it, or an operator if an operator froze it"
    )
    row = {**ROW, "refusal": {**facts, "resets_at": None}, "frozen_why": json.loads(made.detail)["frozen_why"]}
    assert answer_again(made.request, row, BOOK) == first
    assert "frozen_why" not in json.loads(order("key_frozen").detail)


OUTPUT = 10_000_000_000
MOST = (INT64_MAX - 1_000_000) // OUTPUT


@pytest.mark.parametrize(
    ("asked", "model_max", "choices", "input_tokens", "needed"),
    [
        (MOST, MOST, 1, 0, None),
        (MOST + 1, MOST + 1, 1, 0, 9_223_372_040_000),
        (MOST + 1, MOST, 1, 0, None),
        (MOST // 2 + 1, MOST, 2, 0, 9_223_372_040_000),
        (None, MOST * 2, 1, 0, None),
        (0, 5, 1, 4 * MOST, 9_223_372_040_000),
        (None, 5, 1, 4 * MOST - 4, None),
        (1, 5, 1, 4 * MOST - 4, None),
        (10**12, 10**12, 128, 0, 128 * 10**16),
    ],
)
def test_what_cannot_be_computed_in_64_bits_is_refused(
    asked: int | None, model_max: int, choices: int, input_tokens: int, needed: int | None
) -> None:
    made = order(max_output_tokens=asked, model_max_output_tokens=model_max, choices=choices, input_tokens_bound=input_tokens)
    assert (made.code, made.needed_nano) == (None if needed is None else "insufficient_balance", needed)


def test_the_row_keeps_what_the_receipt_will_say() -> None:
    asked = {"requested_model": "gpt-4o", "client_api": "messages"}
    places = [candidate(), candidate("pooled", "m", "c")]
    made = order(environment="prod", tags={"team": "x"}, run_id="run-1", candidates=places, **asked)
    assert json.loads(made.detail) == {
        "key_name": "checkout",
        "environment": "prod",
        "tags": {"team": "x"},
        "run_id": "run-1",
        "candidates": [["openai-main", "direct", "gpt-4o"], ["c", "pooled", "m"]],
        **asked,
    }


def test_a_grant_asked_for_again_is_the_same() -> None:
    request = hold_for("a", candidates=[candidate(), candidate("pooled")])
    assert answer_again(request, ROW, BOOK) == {
        "status": "held",
        "hold_id": str(request.hold_id),
        "bucket": "credit",
        "currency": "USD",
        "amount_nano": 9,
        "price_version": 1,
        "output_cap": 3,
        "covered": [True, False],
        "prices": [DIRECT.model_dump(), None],
    }


def decision(**facts: Any) -> dict[str, Any]:
    """A decision of the hold function: an account's day is spent."""
    stopped = {"code": "budget_exceeded", "kind": "account", "entity": "a", "window": "day"}
    told = {"needed_nano": 5, "left_nano": 2, "resets_at": "2026-01-02T00:00:00Z", "held_nano": 1, "passing": False}
    return {**stopped, **told, **facts}


def expected(request: HoldRequest) -> dict[str, Any]:
    """What the decision is answered as."""
    return {
        "status": "refused",
        "hold_id": str(request.hold_id),
        "http_status": 429,
        "code": "budget_exceeded",
        "message": "the day limit of account a is reached: 0.000000005 USD needed, 0.000000002 USD left, "
        "0.000000001 USD is held by requests that are still running; it resets at 2026-01-02T00:00:00Z",
        "envelope": {"kind": "account", "id": "a", "window": "day"},
        "bucket": "credit",
        "currency": "USD",
        "needed_nano": 5,
        "left_nano": 2,
        "resets_at": "2026-01-02T00:00:00Z",
        "held_nano": 1,
        "passing": False,
    }


def test_a_refusal_and_the_same_asked_for_again() -> None:
    made = order()
    assert refused(made, decision()) == expected(made.request)
    assert answer_again(made.request, {**ROW, "refusal": decision()}, BOOK) == expected(made.request)


def test_a_refusal_without_a_bucket_names_none() -> None:
    made = order(candidates=[candidate("subscription")])
    answer = refused(made, {**NOTHING, "code": "no_price", "needed_nano": None, "left_nano": None, "resets_at": None})
    assert (answer["bucket"], answer["currency"], answer["http_status"]) == (None, None, 503)


def test_a_hold_that_pays_several_attempts_is_as_many_times_larger() -> None:
    once, thrice = order(max_output_tokens=50, choices=2), order(max_output_tokens=50, choices=2, attempts=3)
    assert (thrice.input_tokens, thrice.choices) == (3 * once.input_tokens, 3 * once.choices) == (1_500, 6)
    most = order(max_output_tokens=MOST, model_max_output_tokens=MOST, input_tokens_bound=0)
    assert most.code is None
    assert order(max_output_tokens=MOST, model_max_output_tokens=MOST, input_tokens_bound=0, attempts=2).code is not None
