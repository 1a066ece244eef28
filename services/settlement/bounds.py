"""What a hold must cover: the same rules as the SQL function `place_holds`, which a property test compares with these."""

from collections.abc import Sequence
from dataclasses import dataclass

from schemas.money import INT64_MAX, TOKENS_PER_PRICE

MOST_FREE_NANO = 9_000_000_000_000
"""The most that the rule for a cap looks at (9,000 units): keeps the arithmetic inside 64 bits."""


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

    The least of the model's maximum, the default, and what a quarter of the free amount buys after the prompt is paid. Where
    that is less than the floor: the floor, or what of it the whole free amount buys. One token at least: whether that and the
    prompt can be paid is for the balance to say.
    """
    cap = min(default, model_max)
    least, within_floor = min(cap, 1), min(cap, floor)
    free = max(free_nano, 0)
    quarter = min(free // 4, MOST_FREE_NANO) * TOKENS_PER_PRICE
    whole = min(free, MOST_FREE_NANO) * TOKENS_PER_PRICE
    for price in prices:
        if price.output > 0:
            prompt, token = input_tokens * price.input, price.output * choices
            cap = min(cap, (quarter - prompt) // token)
            within_floor = min(within_floor, (whole - prompt) // token)
    return max(cap, within_floor, least)


def fits(prices: Sequence[UnitPrice], *, input_tokens: int, output_tokens: int) -> bool:
    """Whether the amount can be computed in 64 bits: under some 9,000 units. No request is worth more, so it is refused."""
    return all(input_tokens * price.input + output_tokens * price.output <= INT64_MAX - TOKENS_PER_PRICE for price in prices)
