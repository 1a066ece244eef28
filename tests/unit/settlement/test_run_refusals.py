"""Why a run is not opened: the words for people, the facts for programs."""

from datetime import UTC, datetime

import pytest

from services.settlement.balances import BucketState
from services.settlement.errors import InvalidError, PaymentRequiredError
from services.settlement.runs import BudgetLine, LimitLeft, check_deadline, check_limits, earmark

LINE = BudgetLine("credit", "USD", 100)
NOW = datetime(2026, 3, 14, tzinfo=UTC)


def test_a_deadline_that_is_refused_is_named() -> None:
    with pytest.raises(InvalidError) as refused:
        check_deadline(NOW, NOW)
    assert (refused.value.code, refused.value.param) == ("invalid_deadline", "deadline")


@pytest.mark.parametrize(
    ("bucket", "left", "held"),
    [
        (None, "0.00", "0.00"),
        (BucketState(1, 150, 51, 0), "0.000000099", "0.000000051"),
        (BucketState(1, 500, 0, 7), "0.000000493", "0.00"),
    ],
)
def test_a_bucket_that_cannot_set_it_aside_says_what_was_needed_left_and_held(
    bucket: BucketState | None, left: str, held: str
) -> None:
    with pytest.raises(PaymentRequiredError) as refused:
        earmark(LINE, bucket)
    error = refused.value
    running = f", {held} USD is held by requests that are still running" if held != "0.00" else ""
    said = f"the bucket credit cannot set this budget aside: 0.0000001 USD needed, {left} USD left{running}"
    assert error.message == said
    assert (error.code, error.param) == ("insufficient_balance", "budget")
    envelope = {"kind": "bucket", "id": "credit", "window": None}
    assert error.facts == {
        "envelope": envelope, "needed": "0.0000001", "left": left, "held": held, "currency": "USD"
    }  # fmt: skip


def test_in_a_cost_centre_nothing_is_set_aside() -> None:
    with pytest.raises(InvalidError) as refused:
        earmark(LINE, BucketState(1, 0, 0, 0, unlimited=True))
    assert refused.value.message == (
        'the bucket credit is funded by a limit, so that nothing can be set aside in it: open the run with "reserve": false'
    )
    assert (refused.value.code, refused.value.param) == ("not_reservable", "reserve")


def test_a_total_limit_that_leaves_less_refuses_and_is_named() -> None:
    limits = [
        LimitLeft("account", "acme", "CNY", "total", 0),
        LimitLeft("bucket", "wallet", "USD", "total", 0),
        LimitLeft("project", "p1", "USD", "total", 99),
    ]
    with pytest.raises(PaymentRequiredError) as refused:
        check_limits([LINE], limits)
    error = refused.value
    assert error.message == (
        "the total limit of project p1 has less than this budget: 0.0000001 USD needed, 0.000000099 USD left"
    )
    assert (error.code, error.param) == ("budget_exceeded", "budget")
    envelope = {"kind": "project", "id": "p1", "window": "total"}
    assert error.facts == {"envelope": envelope, "needed": "0.0000001", "left": "0.000000099", "currency": "USD"}


def test_a_limit_that_a_clock_lifts_only_warns() -> None:
    limits = [LimitLeft("key", "k1", "USD", "day", 100), LimitLeft("key", "k1", "USD", "month", 1)]
    assert check_limits([LINE], limits) == [
        "the month limit of key k1 has less than this budget: 0.0000001 USD needed, 0.000000001 USD left"
    ]
