"""What a hold must be for, by the words of the rule and in fractions."""

from collections.abc import Sequence
from fractions import Fraction
from math import ceil, floor

from schemas.calls import HoldRequest
from schemas.money import TOKENS_PER_PRICE, Prices

DEFAULT, FLOOR, MOST_FREE = 4096, 256, 9_000_000_000_000


def amount_of(request: HoldRequest, prices: Sequence[Prices], cap: int) -> int:
    """What pays for the dearest of the candidates when it uses its bounds, rounded up."""
    output = cap * request.choices
    return max(
        ceil(Fraction(request.input_tokens_bound * dearest(each) + output * each.output, TOKENS_PER_PRICE)) for each in prices
    )


def cap_that_fits(request: HoldRequest, prices: Sequence[Prices], free_nano: int) -> int:
    """The cap of a request that brings none."""
    most = min(DEFAULT, request.model_max_output_tokens)
    free = max(free_nano, 0)

    def bought(nano: int) -> int:
        return min(
            (
                floor((min(nano, MOST_FREE) - Fraction(request.input_tokens_bound * dearest(each), TOKENS_PER_PRICE)) / token)
                for each in prices
                if (token := Fraction(each.output * request.choices, TOKENS_PER_PRICE))
            ),
            default=most,
        )

    by_a_quarter = min(most, bought(free // 4))
    if by_a_quarter >= FLOOR:
        return by_a_quarter
    return max(min(most, FLOOR, bought(free)), min(most, 1))


def dearest(prices: Prices) -> int:
    """What a prompt token may cost at most."""
    return max(prices.input, prices.cached_input, prices.cache_write)
