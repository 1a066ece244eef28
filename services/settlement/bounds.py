"""What a hold must cover: the same rules as the SQL function `place_holds`, which a property test compares with these."""

from collections.abc import Sequence
from dataclasses import dataclass

from schemas.money import INT64_MAX, TOKENS_PER_PRICE

QUARTER_BOUND_NANO = 9_000_000_000_000
"""The most that the quarter rule looks at (9,000 units): keeps the arithmetic inside 64 bits."""


@dataclass(frozen=True, slots=True)
class UnitPrice:
    """What a hold assumes for one candidate, nano per million tokens: its dearest prompt token and its output token."""

    input: int
    output: int


def amount_nano(prices: Sequence[UnitPrice], input_tokens: int, output_tokens: int) -> int:
    """The least amount that covers any of the candidates with so many tokens: rounded up."""
    return max(-(-(input_tokens * price.input + output_tokens * price.output) // TOKENS_PER_PRICE) for price in prices)


def output_cap(
    prices: Sequence[UnitPrice], *, input_tokens: int, choices: int, free_nano: int, model_max: int, default: int, floor: int
) -> int:
    """Output tokens per choice for a request without a cap of its own.

    The least of the model's maximum, the default, and what a quarter of the free amount buys after the prompt is paid;
    but not under the floor: whether the floor can be paid is for the balance to say.
    """
    cap = min(default, model_max)
    least = min(cap, floor)
    quarter = min(_truncated(free_nano, 4), QUARTER_BOUND_NANO) * TOKENS_PER_PRICE
    for price in prices:
        if price.output > 0:
            cap = min(cap, _truncated(quarter - input_tokens * price.input, price.output * choices))
    return max(cap, least)


def fits(prices: Sequence[UnitPrice], *, input_tokens: int, output_tokens: int) -> bool:
    """Whether the amount can be computed in 64 bits: under some 9,000 units. No request is worth more, so it is refused."""
    return all(input_tokens * price.input + output_tokens * price.output <= INT64_MAX - TOKENS_PER_PRICE for price in prices)


def _truncated(numerator: int, denominator: int) -> int:
    """Integer division towards zero, as SQL does it."""
    quotient = abs(numerator) // denominator
    return quotient if numerator >= 0 else -quotient
