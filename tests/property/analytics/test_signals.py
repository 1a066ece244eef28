"""What holds of every baseline, threshold and judgement, whatever was counted."""

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.alert_rules import BurnedRule, ErrorRateRule, MixRule, SpendRule, TokensRule
from services.analytics.signals.baseline import baseline_at, rate_baseline_at
from services.analytics.signals.levels import judge_spend, judge_tokens, spend_threshold, tokens_threshold
from services.analytics.signals.mix import distance, judge_mix, mix_baseline_at, mix_threshold
from services.analytics.signals.rates import wilson
from services.analytics.signals.rule_file import parse_rules
from services.analytics.signals.shares import Burned, judge_burned, judge_rate, share_threshold

HOUR = 700
RULES = {rule.signal: rule for rule in parse_rules(Path("deploy/catalog/alerts.yaml").read_text("utf-8")).rules}
hours = st.dictionaries(st.integers(0, HOUR + 50), st.integers(0, 10**7), max_size=60)
counts = st.tuples(st.integers(0, 5_000), st.integers(0, 5_000)).map(lambda pair: (min(pair), max(pair)))
mixes = st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 500), max_size=6)


@settings(deadline=None)
@given(hours, st.integers(0, 10**8))
def test_a_key_never_fires_below_its_floor_and_is_never_exceeded_and_calm_at_once(
    values: dict[int, float], tokens: int
) -> None:
    found = RULES["tokens_per_minute_by_key"]
    assert isinstance(found, TokensRule)
    baseline = baseline_at(values, HOUR)
    judgement = judge_tokens(tokens, tokens_threshold(found, baseline), baseline)
    assert not (judgement.exceeded and judgement.calm)
    assert not judgement.exceeded or tokens > found.floor


@settings(deadline=None)
@given(hours)
def test_the_present_and_the_future_are_no_part_of_a_baseline(values: dict[int, float]) -> None:
    before = {hour: value for hour, value in values.items() if hour < HOUR}
    assert baseline_at(values, HOUR) == baseline_at(before, HOUR)


@settings(deadline=None)
@given(st.integers(1, 10**6), st.integers(10**7, 10**9), st.integers(0, 647))
def test_an_incident_of_a_day_does_not_become_usual(usual: int, incident: int, begin: int) -> None:
    values: dict[int, float] = dict.fromkeys(range(672), usual)
    calm = baseline_at(values, 672)
    hit = baseline_at(values | dict.fromkeys(range(begin, begin + 12), incident), 672)
    assert calm is not None
    assert hit is not None
    assert (hit.centre, hit.peak) == (calm.centre, calm.peak)


@settings(deadline=None)
@given(counts)
def test_a_rate_lies_within_its_interval(pair: tuple[int, int]) -> None:
    events, trials = pair
    low, high = wilson(events, trials)
    assert 0 <= low <= high <= 1
    assert trials == 0 or low - 1e-9 <= events / trials <= high + 1e-9


@settings(deadline=None)
@given(counts, st.dictionaries(st.integers(500, HOUR + 5), counts, max_size=40))
def test_a_channel_fires_only_when_certain_and_never_on_a_handful(
    pair: tuple[int, int], before: dict[int, tuple[int, int]]
) -> None:
    found = RULES["error_rate_by_channel"]
    assert isinstance(found, ErrorRateRule)
    baseline = rate_baseline_at(dict(before), HOUR)
    judgement = judge_rate(found, *pair, share_threshold(found, baseline), baseline)
    assert not (judgement.exceeded and judgement.calm)
    assert not judgement.exceeded or (pair[0] >= found.at_least and judgement.observed > found.floor)
    assert pair[1] > 0 or judgement.calm


@settings(deadline=None)
@given(st.integers(0, 10**9), st.integers(0, 10**9), counts)
def test_lost_tokens_fire_only_beyond_their_floors(lost: int, rest: int, pair: tuple[int, int]) -> None:
    found = RULES["failed_with_tokens"]
    assert isinstance(found, BurnedRule)
    burned = Burned(tokens=lost + rest, burned_tokens=lost, attempts=pair[1], burned_attempts=pair[0])
    judgement = judge_burned(found, burned, share_threshold(found, None), None)
    assert not (judgement.exceeded and judgement.calm)
    assert not judgement.exceeded or (lost >= found.floor_tokens and pair[0] >= found.at_least)


@settings(deadline=None)
@given(hours, st.integers(0, 10**13), st.sampled_from(["USD", "CNY", "XAU"]))
def test_a_route_never_fires_below_its_floor_nor_in_a_currency_without_one(
    values: dict[int, float], nano: int, name: str
) -> None:
    found = RULES["spend_by_route"]
    assert isinstance(found, SpendRule)
    baseline = baseline_at(values, HOUR)
    judgement = judge_spend(nano, name, spend_threshold(found, name, baseline), baseline)
    assert not (judgement.exceeded and judgement.calm)
    assert not judgement.exceeded or nano > {"USD": 5 * 10**9, "CNY": 35 * 10**9}[name]


@settings(deadline=None)
@given(mixes, st.dictionaries(st.integers(500, HOUR + 5), mixes, max_size=40))
def test_a_mix_lies_between_nothing_and_everything_and_needs_a_past(
    now: dict[str, int], before: dict[int, dict[str, int]]
) -> None:
    found = RULES["mix_change"]
    assert isinstance(found, MixRule)
    baseline = mix_baseline_at(before, HOUR)
    judgement = judge_mix(found, now, mix_threshold(found, baseline), baseline)
    assert not (judgement.exceeded and judgement.calm)
    assert 0 <= judgement.observed <= 1 + 1e-9
    assert baseline is not None or not judgement.exceeded
    if baseline is not None:
        assert abs(sum(baseline.shares.values()) - 1) < 1e-9
        assert distance(now, baseline.shares) <= 1 + 1e-9
