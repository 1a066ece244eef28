"""Signals of how often: failed attempts, requests that fell back, tokens that failed attempts used up. Pure."""

from dataclasses import dataclass

from schemas.alert_rules import BurnedRule, ErrorRateRule, FallbackRule
from services.analytics.signals.baseline import Baseline
from services.analytics.signals.judgement import Judgement, share
from services.analytics.signals.rates import wilson
from services.analytics.signals.thresholds import above_usual

MOST = 0.95
"""However bad a channel usually is, when nearly everything fails it is said."""
LATEST_PART = 5
"""The latest part of a window, which is judged by itself too, is a fifth of it."""
LEAST_LATEST_S = 30
TOKENS_WEIGHT = 0.5
"""Attempts differ in their tokens, so that a share of tokens says as much as that of half as many attempts of one size."""


def share_threshold(rule: ErrorRateRule | FallbackRule | BurnedRule, baseline: Baseline | None) -> float:
    """The share above which the rule fires."""
    if baseline is None:
        return rule.floor
    return min(max(rule.floor, above_usual(rule, baseline)), max(rule.floor, MOST))


def latest_s(window_s: int) -> int:
    """The seconds at the end of a window that are judged by themselves too."""
    return max(window_s // LATEST_PART, LEAST_LATEST_S)


def judge_rate(
    rule: ErrorRateRule | FallbackRule, events: int, trials: int, threshold: float, baseline: Baseline | None
) -> Judgement:
    """So many of `trials` attempts failed, or requests fell back, within the rule's window."""
    events = min(events, trials)
    observed = events / trials if trials else 0.0
    usual = None if baseline is None else baseline.centre
    return share(observed, wilson(events, trials)[0], threshold, usual, enough=events >= rule.at_least)


@dataclass(frozen=True, slots=True, kw_only=True)
class Burned:
    """A channel's attempts and tokens in one window, and of them those of attempts that failed and had used tokens."""

    tokens: int
    burned_tokens: int
    attempts: int
    burned_attempts: int


def judge_burned(rule: BurnedRule, found: Burned, threshold: float, baseline: Baseline | None) -> Judgement:
    """What part of a channel's tokens was used by attempts that failed, within the rule's window."""
    observed = min(found.burned_tokens / found.tokens, 1.0) if found.tokens else 0.0
    weight = found.attempts * TOKENS_WEIGHT
    certain = wilson(observed * weight, weight)[0]
    enough = found.burned_attempts >= rule.at_least and found.burned_tokens >= rule.floor_tokens
    usual = None if baseline is None else baseline.centre
    return share(observed, certain, threshold, usual, enough=enough)
