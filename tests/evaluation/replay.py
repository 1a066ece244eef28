"""Runs the production decision functions over what was counted, step by step, with the clock of the data."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from schemas.alert_rules import AlertRules, BurnedRule, ErrorRateRule, FallbackRule, MixRule, Rule, SpendRule, TokensRule
from services.analytics.alerts import machine
from services.analytics.alerts.verdict import Verdict
from services.analytics.signals.baseline import Baseline, baseline_at, rate_baseline_at
from services.analytics.signals.judgement import Judgement, sooner
from services.analytics.signals.levels import judge_spend, judge_tokens, spend_threshold, tokens_threshold
from services.analytics.signals.mix import MixBaseline, judge_mix, mix_baseline_at, mix_threshold
from services.analytics.signals.shares import Burned, judge_burned, judge_rate, latest_s, share_threshold
from tests.evaluation.tallies import Tallies, busiest_minutes, by_hour, window_sums
from tests.evaluation.world import Array

RateRule = ErrorRateRule | FallbackRule
Subject = tuple[int, ...]
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
Judged = Iterator[tuple[int, Judgement]]
"""The second at which a window ended, and what it was found to be."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert: when it fired, and when the run of excess that led to it began."""

    subject: Subject
    fired_s: int
    exceeded_s: int


@dataclass(frozen=True, slots=True)
class History:
    """Hour by hour, what is known of the time before; `first_hour` is the hour that the evaluated time begins with."""

    peaks: Array
    channel: dict[str, Array]
    model: dict[str, Array]
    spend: Array
    mix: Array
    first_hour: int

    @classmethod
    def of(cls, counted: Tallies, first_hour: int = 0) -> "History":
        """The hours of what was counted."""
        step_s = counted.step_s
        return cls(
            peaks=busiest_minutes(counted.tokens, counted.token_step_s),
            channel={name: by_hour(values, step_s) for name, values in counted.channel.items()},
            model={name: by_hour(values, step_s) for name, values in counted.model.items()},
            spend=by_hour(counted.spend, step_s),
            mix=by_hour(counted.mix, step_s),
            first_hour=first_hour,
        )


def alerts_of(subject: Subject, judged: Judged, rule: Rule) -> Iterator[Alert]:
    """The alerts that a subject's judgements amount to, by the state machine that lives on the running stack."""
    alert: machine.Alert | None = None
    told: set[str] = set()
    since = 0
    for second, judgement in judged:
        if (alert is None or alert.state not in machine.OPEN) and not judgement.exceeded:
            continue
        before = alert
        now = BEGIN + timedelta(seconds=second)
        alert, steps = machine.advance(alert, _verdict(rule, subject, judgement, now), now)
        if before is None or before.state not in machine.OPEN:
            since = second
        if alert is not None and alert.alert_id not in told and any(step.kind == "firing" for step in steps):
            told.add(alert.alert_id)
            yield Alert(subject, second, since)


def _verdict(rule: Rule, subject: Subject, judgement: Judgement, now: datetime) -> Verdict:
    return Verdict(
        rule=rule.id,
        signal=rule.signal,
        subject_kind="system",
        subject_id=str(subject),
        exceeded=judgement.exceeded,
        calm=judgement.calm,
        observed=judgement.observed,
        threshold=judgement.threshold,
        unit=judgement.unit,
        window_start=now,
        window_end=now,
        for_s=rule.for_s,
        keep_s=rule.keep_s,
    )


def _values(row: Array) -> dict[int, float]:
    return {int(hour): float(row[hour]) for hour in np.nonzero(row)[0]}


def tokens(rule: TokensRule, counted: Tallies, past: History) -> Iterator[Alert]:
    """`tokens_per_minute_by_key`: each step's last sixty seconds, by the hour's threshold."""
    steps = 60 // counted.token_step_s
    for key in range(counted.keys):
        peaks = _values(past.peaks[key])
        found = window_sums(counted.tokens[key], steps)
        yield from alerts_of((key,), _tokens(rule, found, peaks, counted, past.first_hour), rule)


def _tokens(rule: TokensRule, found: Array, peaks: dict[int, float], counted: Tallies, first_hour: int) -> Judged:
    per_hour = 3600 // counted.token_step_s
    for hour in range(0, len(found) // per_hour):
        piece = found[hour * per_hour : (hour + 1) * per_hour]
        baseline = baseline_at(peaks, first_hour + hour) if piece.any() else None
        threshold = tokens_threshold(rule, baseline)
        quiet = False
        for step, observed in enumerate(piece.tolist()):
            if observed or not quiet:
                # The step's own end: what came in within it is seen when it is over.
                yield (hour * per_hour + step + 1) * counted.token_step_s, judge_tokens(observed, threshold, baseline)
            quiet = not observed


def rates(rule: RateRule, counted: Tallies, past: History) -> Iterator[Alert]:
    """`error_rate_by_channel` or `fallback_frequency`."""
    by_channel = isinstance(rule, ErrorRateRule)
    now, before = (counted.channel, past.channel) if by_channel else (counted.model, past.model)
    events, trials = ("failed", "attempts") if by_channel else ("fallbacks", "requests")
    windows = [max(window_s // counted.step_s, 1) for window_s in (rule.window_s, latest_s(rule.window_s))]
    for index in range(now[trials].shape[0]):
        of_hours = _pairs(before[events][index], before[trials][index])
        sums = [[window_sums(now[name][index], steps).tolist() for name in (events, trials)] for steps in windows]

        def judged(sums: list[list[list[int]]] = sums, hours: _Pairs = of_hours) -> Judged:
            for second, step, baseline in _by_the_hour(counted, past, len(sums[0][0]), hours):
                threshold = share_threshold(rule, baseline)
                whole, latest = (judge_rate(rule, bad[step], tried[step], threshold, baseline) for bad, tried in sums)
                yield second, sooner(whole, latest)

        yield from alerts_of((index,), judged(), rule)


_Pairs = dict[int, tuple[float, float]]


def _pairs(events: Array, trials: Array) -> _Pairs:
    return {int(hour): (float(events[hour]), float(trials[hour])) for hour in np.nonzero(trials)[0]}


def _by_the_hour(counted: Tallies, past: History, steps: int, hours: _Pairs) -> Iterator[tuple[int, int, Baseline | None]]:
    per_hour = 3600 // counted.step_s
    baseline = None
    for step in range(steps):
        if step % per_hour == 0:
            baseline = rate_baseline_at(hours, past.first_hour + step // per_hour)
        yield (step + 1) * counted.step_s, step, baseline


def burned(rule: BurnedRule, counted: Tallies, past: History) -> Iterator[Alert]:
    """`failed_with_tokens`."""
    windows = [max(window_s // counted.step_s, 1) for window_s in (rule.window_s, latest_s(rule.window_s))]
    names = ("tokens", "burned_tokens", "attempts", "burned_attempts")
    for index in range(counted.channel["attempts"].shape[0]):
        of_hours = _burned_hours(past.channel, index)
        sums = [{name: window_sums(counted.channel[name][index], steps).tolist() for name in names} for steps in windows]

        def judged(sums: list[dict[str, list[int]]] = sums, hours: _Pairs = of_hours) -> Judged:
            for second, step, baseline in _by_the_hour(counted, past, len(sums[0]["tokens"]), hours):
                threshold = share_threshold(rule, baseline)
                found = [Burned(**{name: rows[name][step] for name in names}) for rows in sums]
                whole, latest = (judge_burned(rule, each, threshold, baseline) for each in found)
                yield second, sooner(whole, latest)

        yield from alerts_of((index,), judged(), rule)


def _burned_hours(channel: dict[str, Array], index: int) -> _Pairs:
    """The share of burned tokens of each hour, weighed by its attempts."""
    tokens, lost, attempts = (channel[name][index] for name in ("tokens", "burned_tokens", "attempts"))
    return {
        int(hour): (float(lost[hour] / tokens[hour] * attempts[hour]), float(attempts[hour])) for hour in np.nonzero(tokens)[0]
    }


def spend(rule: SpendRule, counted: Tallies, past: History) -> Iterator[Alert]:
    """`spend_by_route`: an account's model in one currency."""
    steps, per_hour = rule.window_s // counted.step_s, 3600 // counted.step_s
    for account in range(counted.accounts):
        for route in range(counted.spend.shape[1]):
            if not counted.spend[account, route].any():
                continue
            currency = ("USD", "CNY")[route % 2]
            before = _values(past.spend[account, route])
            sums = window_sums(counted.spend[account, route], steps).tolist()

            def judged(sums: list[int] = sums, before: dict[int, float] = before, currency: str = currency) -> Judged:
                baseline, threshold = None, 0
                for step, observed in enumerate(sums):
                    if step % per_hour == 0:
                        baseline = baseline_at(before, past.first_hour + step // per_hour)
                        threshold = spend_threshold(rule, currency, baseline)
                    yield (step + 1) * counted.step_s, judge_spend(observed, currency, threshold, baseline)

            yield from alerts_of((account, route), judged(), rule)


def mixes(rule: MixRule, counted: Tallies, past: History) -> Iterator[Alert]:
    """`mix_change`: an account's models and channels."""
    for account in range(counted.accounts):
        used = np.nonzero(counted.mix[account].any(axis=-1) | past.mix[account].any(axis=-1))[0]
        names = [str(place) for place in used]
        sums = window_sums(counted.mix[account][used], rule.window_s // counted.step_s).T.tolist()
        hours = _counts(past.mix[account][used], names)
        yield from alerts_of((account,), _mixes(rule, names, sums, hours, counted, past.first_hour), rule)


def _counts(hours: Array, names: list[str]) -> dict[int, dict[str, int]]:
    found = {hour: dict(zip(names, row, strict=True)) for hour, row in enumerate(hours.T.tolist())}
    return {
        hour: {name: count for name, count in counts.items() if count} for hour, counts in found.items() if any(counts.values())
    }


def _mixes(  # noqa: PLR0917 - the parts of one account's counting
    rule: MixRule,
    names: Sequence[str],
    sums: list[list[int]],
    hours: dict[int, dict[str, int]],
    counted: Tallies,
    first_hour: int,
) -> Judged:
    per_hour = 3600 // counted.step_s
    baseline: MixBaseline | None = None
    threshold = 0.0
    for step, row in enumerate(sums):
        if step % per_hour == 0:
            baseline = mix_baseline_at(hours, first_hour + step // per_hour)
            threshold = mix_threshold(rule, baseline)
        counts = {name: count for name, count in zip(names, row, strict=True) if count}
        yield (step + 1) * counted.step_s, judge_mix(rule, counts, threshold, baseline)


def replay(rules: AlertRules, counted: Tallies, past: History, signals: set[str] | None = None) -> dict[str, list[Alert]]:
    """Signal → the alerts of every rule that watches it."""
    found: dict[str, list[Alert]] = {}
    for rule in rules.rules:
        if signals is None or rule.signal in signals:
            found.setdefault(rule.signal, []).extend(_of_rule(rule, counted, past))
    return found


def _of_rule(rule: object, counted: Tallies, past: History) -> Iterator[Alert]:
    match rule:
        case TokensRule():
            return tokens(rule, counted, past)
        case ErrorRateRule() | FallbackRule():
            return rates(rule, counted, past)
        case BurnedRule():
            return burned(rule, counted, past)
        case SpendRule():
            return spend(rule, counted, past)
        case MixRule():
            return mixes(rule, counted, past)
        case _:
            raise TypeError(type(rule).__name__)
