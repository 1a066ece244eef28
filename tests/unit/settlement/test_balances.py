"""How charges move a bucket."""

import pytest

from schemas.money import INT64_MAX
from services.settlement.balances import Buckets, Capture
from services.settlement.errors import InvalidError


@pytest.mark.parametrize(
    ("charge", "from_hold", "from_available", "owed"),
    [(0, 0, 0, 0), (60, 60, 0, 0), (100, 100, 0, 0), (130, 100, 30, 0), (150, 100, 50, 0), (170, 100, 50, 20)],
)
def test_a_charge_takes_the_hold_then_what_is_available_then_is_owed(
    charge: int, from_hold: int, from_available: int, owed: int
) -> None:
    buckets = Buckets([(1, 350, 300, 0, False)])  # 100 of the 300 are this hold's: 50 are available beyond what is held
    paid = buckets.capture(1, 100, charge)
    assert (paid.from_hold, paid.from_available, paid.owed) == (from_hold, from_available, owed)
    state = buckets.states[0]
    assert (state.posted, state.held, state.overrun) == (350 - from_hold - from_available, 200, owed)
    assert state.posted >= state.held
    assert (paid.before, paid.after) == (350, state.posted)


def test_what_a_cheaper_capture_gives_back_is_available_to_a_dearer_one() -> None:
    buckets = Buckets([(1, 200, 200, 0, False)])
    buckets.capture(1, 100, 40)
    assert buckets.capture(1, 100, 150).owed == 0


def test_a_release_moves_only_what_is_held() -> None:
    buckets = Buckets([(1, 100, 80, 0, False)])
    buckets.release(1, 80)
    assert (buckets.states[0].posted, buckets.states[0].held) == (100, 0)


@pytest.mark.parametrize(("amount", "repaid", "posted", "owed"), [(5, 5, 0, 15), (20, 20, 0, 0), (50, 20, 30, 0)])
def test_a_payment_pays_what_is_owed_first(amount: int, repaid: int, posted: int, owed: int) -> None:
    buckets = Buckets([(1, 0, 0, 20, False)])
    assert buckets.top_up(1, amount) == (0, repaid)
    assert (buckets.states[0].posted, buckets.states[0].overrun) == (posted, owed)


def test_a_hold_of_nothing_without_a_bucket_owes_all_that_it_costs() -> None:
    buckets = Buckets([])
    assert buckets.capture(None, 0, 7).owed == 7
    buckets.release(None, 0)
    assert buckets.states == []


def test_a_capture_tells_the_bucket_around_it() -> None:
    paid = Buckets([(1, 350, 300, 5, False)]).capture(1, 100, 170)
    assert paid == Capture(100, 50, 20, 350, 200, 200)
    assert (paid.paid, paid.move) == (150, (350, 200, 200))
    assert Buckets([]).capture(None, 0, 7) == Capture(0, 0, 7, 0, 0, 0)


def test_what_is_owed_adds_up_and_nothing_is_taken_from_what_others_hold() -> None:
    buckets = Buckets([(1, 100, 100, 3, False)])
    assert buckets.capture(1, 10, 11) == Capture(10, 0, 1, 100, 90, 90)
    assert buckets.capture(1, 10, 12) == Capture(10, 0, 2, 90, 80, 80)
    state = buckets.states[0]
    assert (state.account, state.posted, state.held, state.overrun) == (1, 80, 80, 6)


def test_each_bucket_moves_alone() -> None:
    buckets = Buckets([(1, 10, 5, 0, False), (2, 20, 6, 0, False)])
    buckets.release(2, 6)
    buckets.release(None, 3)
    buckets.top_up(1, 4)
    assert [(state.account, state.posted, state.held) for state in buckets.states] == [(1, 14, 5), (2, 20, 0)]


def test_a_payment_beyond_what_a_balance_can_be_is_refused_by_the_name_of_its_amount() -> None:
    buckets = Buckets([(1, 10, 0, 5, False)])
    with pytest.raises(InvalidError) as refused:
        buckets.top_up(1, INT64_MAX - 4)
    assert (refused.value.code, refused.value.param) == ("invalid_amount", "amount")
    assert Buckets([(1, 10, 0, 5, False)]).top_up(1, INT64_MAX - 5) == (10, 5)
