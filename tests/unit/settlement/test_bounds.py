"""What a hold covers, to the last nano at each edge of the rules."""

import pytest

from schemas.money import INT64_MAX, TOKENS_PER_PRICE
from services.settlement.bounds import MOST_FREE_NANO, UnitPrice, amount_nano, fits, output_cap

CHEAP, DEAR = UnitPrice(1_000_000, 2_000_000), UnitPrice(3_000_000, 1_000_000)
"""One and two, three and one nano a token."""


def cap(free: int, **rule: int) -> int:
    """The cap for ten prompt tokens at one nano and output at two."""
    asked = {"input_tokens": 10, "choices": 1, "model_max": 10_000, "default": 5_000, "floor": 256, **rule}
    return output_cap([CHEAP], free_nano=free, **asked)


def test_the_amount_is_that_of_the_dearest_candidate() -> None:
    assert amount_nano([CHEAP, DEAR], 10, 1) == 31
    assert amount_nano([CHEAP, DEAR], 1, 10) == 21


@pytest.mark.parametrize(("tokens", "amount"), [(0, 0), (1, 1), (999_999, 1), (1_000_000, 1), (1_000_001, 2)])
def test_the_amount_is_rounded_up(tokens: int, amount: int) -> None:
    assert amount_nano([UnitPrice(1, 1)], 0, tokens) == amount
    assert amount_nano([UnitPrice(1, 1)], tokens, 0) == amount


@pytest.mark.parametrize(
    ("free", "found"),
    [
        (10**9, 5_000),  # the default
        (4 * (10 + 2 * 300), 300),  # a quarter buys so much
        (4 * (10 + 2 * 300) - 1, 299),
        (4 * (10 + 2 * 256), 256),
        (4 * (10 + 2 * 100), 256),  # a quarter buys less than the floor
        (10 + 2 * 256, 256),  # the whole just buys the floor
        (10 + 2 * 256 - 1, 255),
        (10 + 2 * 3, 3),
        (10 + 2, 1),
        (10, 1),  # not even one: the balance says no
        (0, 1),
        (-5, 1),
    ],
)
def test_the_cap_follows_what_is_free(free: int, found: int) -> None:
    assert cap(free) == found


def test_the_cap_is_the_least_of_its_bounds() -> None:
    assert cap(10**9, model_max=4_000) == 4_000
    assert cap(10**9, model_max=6_000) == 5_000
    assert cap(10**9, default=100) == 100
    assert cap(10**9, model_max=0) == 0
    assert cap(4 * (10 + 2 * 300), choices=3, floor=1) == 100
    assert cap(4 * (10 + 2 * 300), input_tokens=310, floor=1) == 150


def test_every_candidate_bounds_the_cap() -> None:
    rule = {"choices": 1, "model_max": 10**6, "default": 10**6, "floor": 256}
    assert output_cap([CHEAP, DEAR], input_tokens=0, free_nano=4_000, **rule) == 500
    assert output_cap([DEAR, CHEAP], input_tokens=100, free_nano=4 * 700, **rule) == 300
    assert output_cap([DEAR, CHEAP], input_tokens=100, free_nano=310, **rule) == 10


def test_output_that_costs_nothing_is_not_bounded_by_money() -> None:
    free = UnitPrice(5, 0)
    assert output_cap([free], input_tokens=1, choices=1, free_nano=0, model_max=9, default=7, floor=3) == 7
    one_nano = UnitPrice(0, 1)
    found = output_cap([one_nano], input_tokens=0, choices=1, free_nano=4, model_max=10**7, default=10**7, floor=3)
    assert found == TOKENS_PER_PRICE


@pytest.mark.parametrize("free", [4 * MOST_FREE_NANO, 4 * MOST_FREE_NANO + 4, 40 * MOST_FREE_NANO])
def test_beyond_9000_units_the_rule_sees_no_more(free: int) -> None:
    token = UnitPrice(0, TOKENS_PER_PRICE)
    found = output_cap([token], input_tokens=0, choices=1, free_nano=free, model_max=10**18, default=10**18, floor=1)
    assert found == MOST_FREE_NANO
    found = output_cap([token], input_tokens=0, choices=1, free_nano=free, model_max=10**18, default=10**18, floor=10**17)
    assert found == MOST_FREE_NANO


@pytest.mark.parametrize(("over", "found"), [(0, True), (1, False)])
def test_an_amount_fits_64_bits_or_is_refused(over: int, found: bool) -> None:
    most = INT64_MAX - TOKENS_PER_PRICE
    assert fits([UnitPrice(1, 1)], input_tokens=5, output_tokens=most - 5 + over) is found
    assert fits([UnitPrice(2, 1), UnitPrice(1, 0)], input_tokens=5, output_tokens=most - 10 + over) is found
