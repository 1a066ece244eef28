"""What a rule file would have said of the past: every rule, by the functions that judge the present. Pure."""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from schemas.alert_rules import AlertRules, BurnedRule, ErrorRateRule, FallbackRule, MixRule, Rule, SpendRule, TokensRule
from services.analytics.signals.baseline import Baseline, baseline_at, rate_baseline_at
from services.analytics.signals.judgement import Judgement, sooner
from services.analytics.signals.levels import judge_spend, judge_tokens, spend_threshold, tokens_threshold
from services.analytics.signals.mix import judge_mix, mix_baseline_at, mix_threshold
from services.analytics.signals.overrides import Subject, rule_for
from services.analytics.signals.past import Past, Track
from services.analytics.signals.scheduled import route_subject
from services.analytics.signals.shares import Burned, judge_burned, judge_rate, latest_s, share_threshold
from services.analytics.signals.walk import Counts, Judging, Would, walk

BY_THE_HOUR = 64
"""Baselines of a subject that are remembered while its minutes are walked through."""
MINUTE_S = 60


def backtest(rules: AlertRules, past: Past) -> Iterator[Would]:
    """The alerts that would have fired, rule by rule."""
    for rule in rules.rules:
        for subject, track in _subjects(rule, past):
            own = rule_for(rule, subject)
            if own.enabled:
                yield from _of(own, subject, track, past.end)


def _subjects(rule: Rule, past: Past) -> Iterator[tuple[Subject, Track]]:
    if isinstance(rule, TokensRule):
        for name, track in past.keys.items():
            row = track.row
            tags = tuple(sorted(row["tags"]))
            yield Subject(kind="key", id=name, key=name, account=row["account_id"], project=row["project_id"], tags=tags), track
    elif isinstance(rule, ErrorRateRule | BurnedRule):
        yield from ((Subject(kind="channel", id=name, channel=name), track) for name, track in past.channels.items())
    elif isinstance(rule, FallbackRule):
        yield from ((Subject(kind="model", id=name, model=name), track) for name, track in past.models.items())
    elif isinstance(rule, SpendRule):
        yield from ((route_subject(*route), track) for route, track in past.routes.items())
    else:
        yield from ((Subject(kind="account", id=name, account=name), track) for name, track in past.accounts.items())


def _of(rule: Rule, subject: Subject, track: Track, end: int) -> list[Would]:
    if isinstance(rule, TokensRule):
        return walk(rule, subject, track.minutes, (MINUTE_S, MINUTE_S), _tokens(rule, track), end)
    windows = (rule.window_s, latest_s(rule.window_s))
    if isinstance(rule, SpendRule):
        return walk(rule, subject, track.minutes, windows, _spend(rule, track), end)
    if isinstance(rule, MixRule):
        return walk(rule, subject, track.minutes, windows, _mix(rule, track), end)
    if isinstance(rule, BurnedRule):
        return walk(rule, subject, track.minutes, windows, _burned(rule, track), end)
    return walk(rule, subject, track.minutes, windows, _rate(rule, track), end)


def _hourly(at: Callable[[Any, int], Any], hours: Any) -> Callable[[int], Any]:
    return lru_cache(BY_THE_HOUR)(lambda hour: at(hours, hour))


def _tokens(rule: TokensRule, track: Track) -> Judging:
    baseline_of: Callable[[int], Baseline | None] = _hourly(baseline_at, track.hours)

    def judging(whole: Counts, _: Counts, hour: int) -> Judgement:
        baseline = baseline_of(hour)
        return judge_tokens(whole["tokens"], tokens_threshold(rule, baseline), baseline)

    return judging


def _spend(rule: SpendRule, track: Track) -> Judging:
    baseline_of: Callable[[int], Baseline | None] = _hourly(baseline_at, track.hours)
    currency = track.row["currency"]

    def judging(whole: Counts, _: Counts, hour: int) -> Judgement:
        baseline = baseline_of(hour)
        return judge_spend(whole["spent"], currency, spend_threshold(rule, currency, baseline), baseline)

    return judging


def _rate(rule: ErrorRateRule | FallbackRule, track: Track) -> Judging:
    events, trials = ("failed", "attempts") if isinstance(rule, ErrorRateRule) else ("fallbacks", "requests")
    # Hours of channels are (attempts, failed, …), those of models (requests, fallbacks).
    hours = {hour: (min(values[1], values[0]), values[0]) for hour, values in track.hours.items()}
    baseline_of: Callable[[int], Baseline | None] = _hourly(rate_baseline_at, hours)

    def judging(whole: Counts, latest: Counts, hour: int) -> Judgement:
        baseline = baseline_of(hour)
        threshold = share_threshold(rule, baseline)
        found = (judge_rate(rule, sums[events], sums[trials], threshold, baseline) for sums in (whole, latest))
        return sooner(*found)

    return judging


def _burned(rule: BurnedRule, track: Track) -> Judging:
    hours = {hour: (lost / tokens * tried, tried) for hour, (tried, _, tokens, lost) in track.hours.items() if tokens}
    baseline_of: Callable[[int], Baseline | None] = _hourly(rate_baseline_at, hours)
    names = ("tokens", "burned_tokens", "attempts", "burned_attempts")

    def judging(whole: Counts, latest: Counts, hour: int) -> Judgement:
        baseline = baseline_of(hour)
        threshold = share_threshold(rule, baseline)
        found = [Burned(**{name: sums[name] for name in names}) for sums in (whole, latest)]
        return sooner(*(judge_burned(rule, each, threshold, baseline) for each in found))

    return judging


def _mix(rule: MixRule, track: Track) -> Judging:
    baseline_of = _hourly(mix_baseline_at, track.hours)

    def judging(whole: Counts, _: Counts, hour: int) -> Judgement:
        baseline = baseline_of(hour)
        return judge_mix(rule, {name: count for name, count in whole.items() if count}, mix_threshold(rule, baseline), baseline)

    return judging
