"""What is usual for a subject at an hour, from what it did hour by hour in the four weeks before. Pure.

Medians and the median distance from them, so that an incident of some hours in the past does not become usual. Where the
hours of the week tell enough they are asked, else the same hours of the last days, else every hour; else nothing is known.
An hour is the number of hours since 1970; one in which nothing was counted, after the first that has something, is a 0.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

WEEK_H = 168
HISTORY_H = 4 * WEEK_H
WEEKS = (1, 2, 3, 4)
DAYS = (1, 2, 3, 4, 5, 6, 7)
AROUND = (-1, 0, 1)
LEAST_OF_WEEK = 6
"""Two weeks back, with the hours beside."""
LEAST_OF_DAY = 9
LEAST_HOURS = 12
PEAK_QUANTILE = 0.98
"""The busiest hours are those of which 13 in four weeks are busier: no single incident makes itself usual."""
NORMAL_MAD = 1.4826
"""A median distance is so much smaller than a standard deviation, where values are spread normally."""
RATE_HOURS_LEAST = 6
RATE_TRIALS_LEAST = 200
HOUR_TRIALS_LEAST = 20

Source = Literal["hour_of_week", "hour_of_day", "every_hour"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """The usual value, how far it usually strays, and that of the busiest hours; `hours` were looked at."""

    centre: float
    spread: float
    peak: float
    source: Source
    hours: int


def spread_of(values: Sequence[float], centre: float) -> float:
    """The median distance from the centre, as a standard deviation would be."""
    return NORMAL_MAD * median(abs(value - centre) for value in values)


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value that `share` of the ordered values do not exceed."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _hours_like(hour: int, first: int) -> Iterator[tuple[Source, list[int], int]]:
    """The hours that tell what is usual at `hour`, from the most to the least alike, and how many are enough."""
    weeks = [hour - WEEK_H * week + beside for week in WEEKS for beside in AROUND]
    yield "hour_of_week", [each for each in weeks if each >= first], LEAST_OF_WEEK
    days = [hour - 24 * day + beside for day in DAYS for beside in AROUND]
    yield "hour_of_day", [each for each in days if first <= each < hour], LEAST_OF_DAY
    yield "every_hour", list(range(max(first, hour - WEEK_H), hour)), LEAST_HOURS


def baseline_at(values: Mapping[int, float], hour: int) -> Baseline | None:
    """What is usual at `hour`, by the values of earlier hours. None where they are too few."""
    first = min((each for each in values if hour - HISTORY_H <= each < hour), default=None)
    if first is None:
        return None
    found = next(((source, hours) for source, hours, enough in _hours_like(hour, first) if len(hours) >= enough), None)
    if found is None:
        return None
    source, hours = found
    alike = [values.get(each, 0) for each in hours]
    centre = median(alike)
    every = sorted(values.get(each, 0) for each in range(first, hour))
    peak = quantile(every, PEAK_QUANTILE)
    return Baseline(centre=centre, spread=spread_of(alike, centre), peak=peak, source=source, hours=len(alike))


def rate_baseline_at(counts: Mapping[int, tuple[float, float]], hour: int) -> Baseline | None:
    """The usual rate at any hour, by (events, trials) of the hours before: of the last week, as rates follow no clock.

    Hours of few trials say little of a rate: they count together, and not towards how far it strays.
    """
    week = [counts[each] for each in range(hour - WEEK_H, hour) if each in counts]
    telling = sorted(events / trials for events, trials in week if trials >= HOUR_TRIALS_LEAST)
    trials = sum(each[1] for each in week)
    if len(telling) < RATE_HOURS_LEAST or trials < RATE_TRIALS_LEAST:
        return None
    centre = median(telling)
    peak = quantile(telling, PEAK_QUANTILE)
    return Baseline(centre=centre, spread=spread_of(telling, centre), peak=peak, source="every_hour", hours=len(telling))
