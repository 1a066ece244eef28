"""The signal of where requests go: a sudden change of providers and models. Pure.

The distance of two mixes is their total variation: the share of requests that went elsewhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

from schemas.alert_rules import MixRule
from services.analytics.signals.baseline import PEAK_QUANTILE, WEEK_H, Baseline, quantile, spread_of
from services.analytics.signals.judgement import Judgement, share
from services.analytics.signals.rates import noise_of_distance
from services.analytics.signals.thresholds import above_usual

HOURS_LEAST = 12
REQUESTS_LEAST = 200
HOUR_REQUESTS_LEAST = 20
MOST = 0.9
"""However much a mix usually changes, when nine of ten requests go elsewhere it is said."""

Counts = Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class MixBaseline:
    """The usual shares, and how far from them the hours of the last week were."""

    shares: Mapping[str, float]
    distance: Baseline


def distance(counts: Counts, shares: Mapping[str, float]) -> float:
    """The share of requests that went elsewhere than usual, between 0 and 1."""
    total = sum(counts.values())
    if total == 0:
        return 0.0
    return sum(abs(counts.get(name, 0) / total - shares.get(name, 0.0)) for name in counts.keys() | shares.keys()) / 2


def mix_baseline_at(hours: Mapping[int, Counts], hour: int) -> MixBaseline | None:
    """The usual mix at `hour`, from the last week. None where too little is known.

    An hour weighs by its requests, but no more than four usual hours: one flood is not the mix.
    """
    week = [hours[each] for each in range(hour - WEEK_H, hour) if each in hours]
    totals = [sum(counts.values()) for counts in week]
    if len(week) < HOURS_LEAST or sum(totals) < REQUESTS_LEAST:
        return None
    most = 4 * median(totals)
    weighed: dict[str, float] = {}
    for counts, total in zip(week, totals, strict=True):
        weight = min(1.0, most / total) if total else 0.0
        for name, count in counts.items():
            weighed[name] = weighed.get(name, 0.0) + count * weight
    whole = sum(weighed.values())
    shares = {name: weight / whole for name, weight in weighed.items()}
    strayed = sorted(
        _beyond_chance(counts, total, shares)
        for counts, total in zip(week, totals, strict=True)
        if total >= HOUR_REQUESTS_LEAST
    )
    if not strayed:
        return None
    centre = median(strayed)
    found = Baseline(
        centre=centre,
        spread=spread_of(strayed, centre),
        peak=quantile(strayed, PEAK_QUANTILE),
        source="every_hour",
        hours=len(strayed),
    )
    return MixBaseline(shares=shares, distance=found)


def _beyond_chance(counts: Counts, total: int, shares: Mapping[str, float]) -> float:
    return max(0.0, distance(counts, shares) - noise_of_distance(list(shares.values()), total))


def mix_threshold(rule: MixRule, baseline: MixBaseline | None) -> float:
    """The distance above which the rule fires; beyond 1, so never, where nothing is known of the usual mix."""
    if baseline is None:
        return 2.0
    return min(max(rule.floor, above_usual(rule, baseline.distance)), max(rule.floor, MOST))


def judge_mix(rule: MixRule, counts: Counts, threshold: float, baseline: MixBaseline | None) -> Judgement:
    """Where the requests of one window went."""
    if baseline is None:
        return share(0.0, 0.0, threshold, None, enough=False)
    total = sum(counts.values())
    certain = _beyond_chance(counts, total, baseline.shares)
    observed = distance(counts, baseline.shares) if total >= rule.at_least else certain
    return share(observed, certain, threshold, baseline.distance.centre, enough=total >= rule.at_least)
