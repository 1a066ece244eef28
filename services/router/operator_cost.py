"""What an attempt costs the operator: a channel's factor on the list charge, in integers. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

from schemas.money import divide_half_even

FACTOR_PLACES = 10**9
"""Every denominator divides this."""
_DECIMAL = re.compile(r"(\d{1,6})(?:\.(\d{1,9}))?", re.ASCII)


class Factor(NamedTuple):
    """An exact decimal factor: `numerator / denominator`."""

    numerator: int
    denominator: int


def parse_factor(text: str) -> Factor:
    """The factor in a plain decimal such as "0.80". Raises ValueError for anything else."""
    match = _DECIMAL.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a factor: write a plain decimal such as 0.80")
    places = match[2] or ""
    return Factor(int(match[1] + places), 10 ** len(places))


def operator_cost_nano(list_charge_nano: int, factor: Factor) -> int:
    """`list_charge_nano` times factor in nano, rounded half to even."""
    return divide_half_even(list_charge_nano * factor.numerator, factor.denominator)
