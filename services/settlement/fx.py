"""Exchange rates of days, exact. Pure, and for reports alone: nothing that holds or posts money may import it.

A test walks the imports of every process but this API's reports and holds that rule.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from services.settlement.money_in import Name

LATEST_DAYS = 7
"""A day without a rate (a weekend, a holiday) takes the last one before it, of so many days at most."""
FIRST_DAY = date(2000, 1, 1)
LEAST, MOST = Fraction(1, 10**9), Fraction(10**9)
_RATE = re.compile(r"[0-9]{1,12}(\.[0-9]{1,18})?", re.ASCII)


def _exact(text: str) -> str:
    if _RATE.fullmatch(text) is None or Fraction(text) == 0:
        raise ValueError(
            "a rate is a positive decimal with at most 12 digits before the point and 18 behind it, such as 7.1234"
        )
    units, _, places = text.partition(".")
    places = places.rstrip("0")
    return (units.lstrip("0") or "0") + (f".{places}" if places else "")


def _sensible(text: str) -> str:
    if not LEAST <= Fraction(text) <= MOST:
        raise ValueError(
            "a rate lies between 0.000000001 and 1000000000: further apart no two currencies are. Look at its places, "
            "and at which of the two it is for one unit of"
        )
    return text


RateText = Annotated[str, Field(min_length=1, max_length=31), AfterValidator(_exact), AfterValidator(_sensible)]
LAST_DAY = date(9000, 1, 1)
"""Far enough from the end of the calendar for the day after, and for what a transaction's id can say."""
Day = Annotated[date, Field(ge=FIRST_DAY, le=LAST_DAY)]


class RateLine(BaseModel):
    """One unit of `from` was worth so many of `to` on a day (UTC), as a source says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    from_currency: Annotated[Name, Field(alias="from")]
    to_currency: Annotated[Name, Field(alias="to")]
    day: Annotated[Day, Field(alias="date")]
    rate: RateText
    source: Name

    @model_validator(mode="after")
    def _of_two(self) -> "RateLine":
        if self.from_currency == self.to_currency:
            raise ValueError("a rate is between two currencies")
        return self


class Rate(NamedTuple):
    """A rate in force."""

    from_currency: str
    to_currency: str
    day: date
    rate: str
    source: str


@dataclass(frozen=True, slots=True)
class Used:
    """The rate that a day's amounts are multiplied by: a stored one, or (`inverted`) one divided by it."""

    stored: Rate | None
    inverted: bool
    factor: Fraction


SAME = Used(None, False, Fraction(1))


class Rates:
    """Rates in force, looked up by day."""

    def __init__(self, rates: Iterable[Rate]) -> None:
        self._by_day = {(rate.from_currency, rate.to_currency, rate.day): rate for rate in rates}

    def on(self, from_currency: str, to_currency: str, day: date) -> Used | None:
        """What a unit of one was worth in the other on a day; None where neither the day nor those just before it say.

        The newest rate counts; of one day, the one that was given in this direction.
        """
        if from_currency == to_currency:
            return SAME
        for back in range(LATEST_DAYS + 1):
            then = day - timedelta(days=back)
            if (rate := self._by_day.get((from_currency, to_currency, then))) is not None:
                return Used(rate, inverted=False, factor=Fraction(rate.rate))
            if (rate := self._by_day.get((to_currency, from_currency, then))) is not None:
                return Used(rate, inverted=True, factor=1 / Fraction(rate.rate))
        return None


def rounded(exact: Fraction) -> int:
    """The one rounding of reports: an exact sum of nano to a whole one, half to even."""
    return round(exact)
