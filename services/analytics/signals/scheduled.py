"""Judging what needs no second: fallbacks, spend and mixes, from rollups. Windows are rows; verdicts come out. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from schemas.alert_rules import AlertRules, FallbackRule, MixRule, SpendRule
from services.analytics.alerts.verdict import Verdict
from services.analytics.signals.history import Usuals, route_of
from services.analytics.signals.judgement import sooner
from services.analytics.signals.levels import judge_spend, spend_threshold
from services.analytics.signals.mix import judge_mix, mix_threshold
from services.analytics.signals.overrides import Subject, rule_for
from services.analytics.signals.shares import judge_rate, share_threshold
from services.analytics.signals.speaking import verdict_of

Rows = Sequence[Mapping[str, Any]]
SIGNALS = ("fallback_frequency", "spend_by_route", "mix_change")
MOST_PLACES = 5


def route_subject(account: str, model: str, route_type: str, currency: str, project: str = "") -> Subject:
    """An account's model over a route type, in a currency."""
    name = f"{model} via {route_type} in {currency} of {account}"
    return Subject(kind="route", id=name[:256], account=account, model=model, project=project)


def fallbacks(rule: FallbackRule, whole: Rows, latest: Rows, usuals: Usuals, end_s: int) -> Iterator[Verdict]:
    """Every model that was asked for in the window."""
    late = {row["subject"]: row for row in latest}
    for row in whole:
        subject = Subject(kind="model", id=row["subject"], model=row["subject"])
        own = rule_for(rule, subject)
        if not own.enabled:
            continue
        baseline = usuals.fallbacks.get(subject.id)
        threshold = share_threshold(own, baseline)
        last = late.get(subject.id, {"fallbacks": 0, "requests": 0})
        found = sooner(
            judge_rate(own, row["fallbacks"], row["requests"], threshold, baseline),
            judge_rate(own, last["fallbacks"], last["requests"], threshold, baseline),
        )
        detail = {"requests": row["requests"], "fallbacks": row["fallbacks"], "channels": list(row["channels"])}
        yield verdict_of(own, subject, found, end_s, own.window_s, detail)


def spend(rule: SpendRule, rows: Rows, usuals: Usuals, end_s: int) -> Iterator[Verdict]:
    """Every route that an account used in the window."""
    for row in rows:
        route = route_of(row)
        subject = route_subject(*route, project=row["project_id"])
        own = rule_for(rule, subject)
        if not own.enabled:
            continue
        baseline = usuals.spend.get(route)
        threshold = spend_threshold(own, row["currency"], baseline)
        found = judge_spend(row["spent"], row["currency"], threshold, baseline)
        detail = {"requests": row["requests"], "keys": list(row["top_keys"]), "cost_nano": {row["currency"]: int(row["spent"])}}
        yield verdict_of(own, subject, found, end_s, own.window_s, detail)


def mixes(rule: MixRule, rows: Rows, usuals: Usuals, end_s: int) -> Iterator[Verdict]:
    """Every account that asked for something in the window."""
    for row in rows:
        account = row["account_id"]
        subject = Subject(kind="account", id=account, account=account)
        own = rule_for(rule, subject)
        if not own.enabled:
            continue
        baseline, counts = usuals.mixes.get(account), dict(row["places"])
        found = judge_mix(own, counts, mix_threshold(own, baseline), baseline)
        most = sorted(counts, key=counts.__getitem__, reverse=True)[:MOST_PLACES]
        detail = {"now": {name: counts[name] for name in most}}
        if baseline is not None:
            usual = sorted(baseline.shares, key=baseline.shares.__getitem__, reverse=True)[:MOST_PLACES]
            detail["usual_percent"] = {name: round(100 * baseline.shares[name]) for name in usual}
        yield verdict_of(own, subject, found, end_s, own.window_s, detail)


def of_signal(rules: AlertRules) -> list[FallbackRule | SpendRule | MixRule]:
    """The rules that are judged on the schedule."""
    return [rule for rule in rules.rules if isinstance(rule, FallbackRule | SpendRule | MixRule)]


def worth_telling(found: Iterable[Verdict], still: Iterable[Verdict], end_s: int) -> list[Verdict]:
    """Of what was found, what exceeds, and how open alerts stand by now: one of which nothing is seen any more is calm."""
    by_about = {verdict.about: verdict for verdict in found}
    told = {about: verdict for about, verdict in by_about.items() if verdict.exceeded}
    for last in still:
        told[last.about] = by_about.get(last.about) or _gone(last, end_s)
    return list(told.values())


def _gone(last: Verdict, end_s: int) -> Verdict:
    end = datetime.fromtimestamp(end_s, UTC)
    start = end - (last.window_end - last.window_start)
    return replace(last, exceeded=False, calm=True, observed=0.0, window_start=start, window_end=end)
