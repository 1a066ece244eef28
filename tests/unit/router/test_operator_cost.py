"""A channel's cost is its exact share of the list charge."""

from __future__ import annotations

import pytest

from services.router.operator_cost import operator_cost_nano, parse_factor


@pytest.mark.parametrize(
    ("charge", "factor", "cost"),
    [
        (1375000, "0.80", 1100000),
        (1, "0.5", 0),
        (3, "0.5", 2),
        (5, "0.5", 2),
        (7, "1.000000001", 7),
        (10, "0", 0),
        (10**18, "1.5", 15 * 10**17),
    ],
)
def test_the_cost_is_rounded_half_to_even_in_integers(charge: int, factor: str, cost: int) -> None:
    assert operator_cost_nano(charge, parse_factor(factor)) == cost


@pytest.mark.parametrize("text", ["", "-1", "1e3", ".5", "1.", "0,5", "NaN", "1.0000000001", "٣", "1 "])
def test_a_factor_is_a_plain_decimal(text: str) -> None:
    with pytest.raises(ValueError, match="not a factor"):
        parse_factor(text)
