"""What opening and closing a run does to a bucket and its reserve, decided without an engine."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.calls import Policy
from schemas.rules import RunRules
from schemas.runs import narrowed
from services.settlement.balances import BucketState
from services.settlement.errors import InvalidError, PaymentRequiredError
from services.settlement.runs import (
    BudgetLine,
    LimitLeft,
    budget_lines,
    check_deadline,
    check_limits,
    earmark,
    give_back,
    rules_of,
)
from tests.unit.settlement.test_settling import BOOK

LINE = BudgetLine("credit", "USD", 100)
NOW = datetime(2026, 3, 14, tzinfo=UTC)
amounts = st.integers(0, 10**6)


def test_a_budget_names_buckets_of_the_price_book_in_their_order() -> None:
    lines = budget_lines({"wallet": "1.5", "credit": "0.000000001"}, BOOK)
    assert lines == [BudgetLine("credit", "USD", 1), BudgetLine("wallet", "CNY", 1_500_000_000)]
    with pytest.raises(InvalidError, match="the buckets are credit, wallet") as refused:
        budget_lines({"cash": "1"}, BOOK)
    assert (refused.value.code, refused.value.param) == ("unknown_bucket", "budget")


@pytest.mark.parametrize("ahead", [timedelta(0), timedelta(milliseconds=-1), timedelta(days=31, seconds=1), timedelta(days=-1)])
def test_a_deadline_lies_ahead_but_not_too_far(ahead: timedelta) -> None:
    with pytest.raises(InvalidError, match="31 days"):
        check_deadline(NOW + ahead, NOW)
    check_deadline(NOW + timedelta(milliseconds=1), NOW)
    check_deadline(NOW + timedelta(days=31), NOW)


def test_only_free_money_is_set_aside() -> None:
    bucket = BucketState(1, 150, 50, 0)
    earmark(LINE, bucket)
    assert (bucket.posted, bucket.held) == (50, 50)
    with pytest.raises(PaymentRequiredError, match=r"0\.0000001 USD needed, 0\.00 USD left"):
        earmark(LINE, bucket)
    assert bucket.posted == 50


@pytest.mark.parametrize("bucket", [None, BucketState(1, 149, 50, 0), BucketState(1, 500, 0, 1)])
def test_nothing_is_set_aside_in_a_bucket_that_is_not_there_too_small_or_in_debt(bucket: BucketState | None) -> None:
    with pytest.raises(PaymentRequiredError) as refused:
        earmark(LINE, bucket)
    assert (refused.value.code, refused.value.status) == ("insufficient_balance", 402)


def test_a_bucket_that_a_limit_funds_cannot_be_set_aside() -> None:
    with pytest.raises(InvalidError, match='"reserve": false') as refused:
        earmark(LINE, BucketState(1, 0, 0, 0, unlimited=True))
    assert refused.value.code == "not_reservable"


def test_a_total_limit_refuses_and_a_clocked_one_warns() -> None:
    enough = LimitLeft("key", "k", "USD", "total", 100)
    day, month = LimitLeft("key", "k", "USD", "day", 99), LimitLeft("project", "p", "USD", "month", -5)
    assert check_limits([LINE], [enough]) == []
    assert len(check_limits([LINE], [enough, day, month])) == 2
    assert check_limits([LINE], [LimitLeft("key", "k", "CNY", "total", 0)]) == []
    assert check_limits([LINE], [LimitLeft("bucket", "wallet", "USD", "total", 0)]) == []
    for kind, entity in (("account", "a"), ("bucket", "credit")):
        with pytest.raises(PaymentRequiredError) as refused:
            check_limits([LINE], [LimitLeft(kind, entity, "USD", "total", 99)])
        assert refused.value.code == "budget_exceeded"


@given(left=amounts, debt=amounts, posted=amounts, held=amounts, owed=amounts)
def test_giving_back_conserves_every_unit(left: int, debt: int, posted: int, held: int, owed: int) -> None:
    reserve, bucket = BucketState(1, left, 0, debt), BucketState(2, posted + held, held, owed)
    before = left + posted + held - debt - owed
    back = give_back(reserve, bucket)
    assert (reserve.posted, reserve.overrun) == (0, 0)
    assert bucket.posted - bucket.overrun == before
    assert bucket.free >= 0
    assert back.repaid == min(left, debt)
    assert back.repaid + back.returned == left
    assert back.repaid + back.paid_by_bucket + back.owed_by_bucket == debt
    assert back.owed_by_bucket == 0 or bucket.free == 0
    assert back.returned_repaid == min(owed, back.returned)


def test_a_run_narrows_its_keys_policy_and_may_permit_crossing() -> None:
    key = Policy(models=["gpt-4o", "gpt-4.1"], route_types=["direct", "pooled"], max_attempts=3)
    rules = RunRules(models=["gpt-4.1", "o3"], route_types=["pooled", "subscription"], cross_bucket=True, max_attempts=5)
    policy = narrowed(key, rules)
    assert (policy.models, policy.route_types) == (["gpt-4.1"], ["pooled"])
    assert (policy.fallback, policy.cross_bucket, policy.max_attempts) == (True, True, 3)
    assert narrowed(key, RunRules()) == key
    assert narrowed(Policy(), RunRules(models=["o3"])).models == ["o3"]
    assert narrowed(key, RunRules(models=["*"])).models == key.models
    assert not narrowed(key, RunRules(fallback=False)).fallback
    assert not narrowed(key.model_copy(update={"fallback": False}), RunRules(fallback=True)).fallback
    assert not narrowed(key.model_copy(update={"cross_bucket": True}), RunRules(cross_bucket=False)).cross_bucket


def test_rules_that_a_run_does_not_have_are_shown_as_the_keys() -> None:
    assert rules_of({"rules": {"fallback": False}}) == {
        "models": None,
        "route_types": None,
        "fallback": False,
        "cross_bucket": None,
        "max_attempts": None,
    }
