"""Integer money: the one place where tokens become amounts.

Amounts are integers of 1e-9 of a currency unit ("nano"), prices are integers of nano per million tokens. A capture rounds
once (half to even, over the sum of all token classes), a hold rounds up, so that a hold always covers its capture.
"""

import re
from decimal import Decimal, InvalidOperation
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

NANO_PER_UNIT = 1_000_000_000
TOKENS_PER_PRICE = 1_000_000
INT64_MAX = 2**63 - 1
_DECIMAL = re.compile(r"-?(?:[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|NaN|Infinity)")
"""Narrower than what `Decimal` reads: no spaces, no underscores, no digits of other scripts. What is not finite is told so."""

AmountNano = Annotated[int, Field(strict=True, ge=0, le=INT64_MAX)]
SignedAmountNano = Annotated[int, Field(strict=True, ge=-INT64_MAX, le=INT64_MAX)]
TokenCount = Annotated[int, Field(strict=True, ge=0, le=10**12)]


class AmountError(ValueError):
    """The text is not an exact amount of money: give a plain decimal with at most nine places, such as "12.50"."""


class Usage(BaseModel):
    """Tokens of one upstream attempt, in classes that do not overlap (reasoning is a part of output, for information).

    `input_tokens` excludes cached and cache-write tokens. The sum of input, cached and cache-write is the prompt's size.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    input_tokens: TokenCount = 0
    cached_input_tokens: TokenCount = 0
    cache_write_tokens: TokenCount = 0
    output_tokens: TokenCount = 0
    reasoning_tokens: TokenCount = 0

    @property
    def total_tokens(self) -> int:
        """Every token of the attempt, each counted once."""
        return self.input_tokens + self.cached_input_tokens + self.cache_write_tokens + self.output_tokens


class Prices(BaseModel):
    """Prices of one (route type, model), in nano of the bucket's currency per million tokens.

    A missing cached or cache-write price means the input price, never zero; use :meth:`parse` to apply that rule.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    input: AmountNano
    cached_input: AmountNano
    cache_write: AmountNano
    output: AmountNano

    @classmethod
    def parse(cls, input_: str, output: str, cached_input: str | None = None, cache_write: str | None = None) -> "Prices":
        """Prices from decimal texts per million tokens, such as `"2.5"`. Raises :class:`AmountError`."""
        return cls(
            input=parse_amount(input_),
            cached_input=parse_amount(input_ if cached_input is None else cached_input),
            cache_write=parse_amount(input_ if cache_write is None else cache_write),
            output=parse_amount(output),
        )

    @property
    def dearest_input(self) -> int:
        """The highest price that a prompt token can have, nano per million tokens: what a hold assumes."""
        return max(self.input, self.cached_input, self.cache_write)


def charge_nano(prices: Prices, usage: Usage) -> int:
    """The charge for one attempt in nano: one rounding, half to even, over the exact sum of all classes."""
    exact = (
        usage.input_tokens * prices.input
        + usage.cached_input_tokens * prices.cached_input
        + usage.cache_write_tokens * prices.cache_write
        + usage.output_tokens * prices.output
    )
    return divide_half_even(exact, TOKENS_PER_PRICE)


def hold_nano(prices: Prices, input_tokens: int, output_tokens: int) -> int:
    """The least hold in nano that covers any capture of at most so many prompt and output tokens: rounded up."""
    exact = input_tokens * prices.dearest_input + output_tokens * prices.output
    return -(-exact // TOKENS_PER_PRICE)


def divide_half_even(numerator: int, denominator: int) -> int:
    """`numerator / denominator` for integers >= 0 and > 0, rounded half to even without leaving the integers."""
    quotient, remainder = divmod(numerator, denominator)
    twice = 2 * remainder
    if twice > denominator or (twice == denominator and quotient % 2):
        return quotient + 1
    return quotient


def parse_amount(text: str) -> int:
    """Nano from a decimal text such as `"12.50"`. Raises :class:`AmountError` for anything that is not exact and finite."""
    try:
        value = Decimal(text if _DECIMAL.fullmatch(text) else "")
    except (InvalidOperation, TypeError, ValueError):
        raise AmountError(f"{text!r} is not an amount: write a plain decimal such as 12.50") from None
    if not value.is_finite() or value.is_signed():
        raise AmountError(f"{text!r} is not an amount: it must be finite and not negative")
    if value.adjusted() > 18:
        raise AmountError(f"{text!r} is not an amount: too large")
    scaled = value.scaleb(9)
    nano = int(scaled)
    if nano != scaled or nano > INT64_MAX:
        raise AmountError(f"{text!r} is not an amount: at most nine decimal places and nine billion units")
    return nano


def format_amount(nano: int) -> str:
    """A decimal text of nano with at least two places: `1_500_000_000` is `"1.50"`, `1` is `"0.000000001"`."""
    sign = "-" if nano < 0 else ""
    units, rest = divmod(abs(nano), NANO_PER_UNIT)
    places = f"{rest:09d}".rstrip("0").ljust(2, "0")
    return f"{sign}{units}.{places}"
