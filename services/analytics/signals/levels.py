"""Signals of how much: tokens of a key within a minute, spend on a route within a window. Pure, in whole numbers."""

from schemas.alert_rules import SpendRule, TokensRule, amount_nano
from services.analytics.signals.baseline import Baseline
from services.analytics.signals.judgement import Judgement, level
from services.analytics.signals.thresholds import above_usual

NEVER = 2**63
"""The threshold of a currency that its rule does not name, and of a rule that is switched off for a key."""


def tokens_threshold(rule: TokensRule, baseline: Baseline | None) -> int:
    """Tokens a minute above which a key of this baseline fires."""
    if baseline is None:
        return max(rule.floor, rule.floor_without_history or 0)
    return max(rule.floor, round(above_usual(rule, baseline)))


def judge_tokens(tokens: int, threshold: int, baseline: Baseline | None) -> Judgement:
    """Tokens of a key's last sixty seconds. `baseline` is that of the busiest minute of each hour."""
    return level(tokens, threshold, None if baseline is None else baseline.centre, "tokens/min")


def spend_threshold(rule: SpendRule, currency: str, baseline: Baseline | None) -> int:
    """Nano units of the currency above which a route of this baseline fires, in one window. Baselines are by the hour."""
    floor = rule.floor.get(currency)
    if floor is None:
        return NEVER
    if baseline is None:
        return amount_nano(floor)
    return max(amount_nano(floor), round(above_usual(rule, baseline) * rule.window_s / 3600))


def judge_spend(spent_nano: int, currency: str, threshold: int, baseline: Baseline | None) -> Judgement:
    """What an account spent on a route in one window."""
    return level(spent_nano, threshold, None if baseline is None else baseline.centre, f"nano {currency}")
