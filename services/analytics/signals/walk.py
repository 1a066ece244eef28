"""Walks through the minutes of a subject's past: windows judged minute by minute, told as the alerts that come of it. Pure."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from schemas.alert_rules import Rule
from services.analytics.alerts import machine
from services.analytics.alerts.verdict import Verdict
from services.analytics.signals.judgement import Judgement
from services.analytics.signals.overrides import Subject
from services.analytics.signals.speaking import verdict_of

Counts = Mapping[str, int]
Judging = Callable[[Counts, Counts, int], Judgement]
"""(sums of the window, sums of its last part, the hour) → what they are found to be."""


@dataclass(frozen=True, slots=True)
class Would:
    """An alert that would have fired. `ended` is None where it would not be over."""

    first: Verdict
    fired_at: datetime
    peak: float
    ended: datetime | None = None


def visited(minutes: Mapping[int, Counts], window: int, keep: int, end: int) -> Iterator[int]:
    """The minutes at which something can change: those with counts, and those until their windows are empty and kept calm."""
    until = -1
    for minute in sorted(minutes):
        yield from range(max(minute, until), min(minute + window + keep + 2, end))
        until = max(until, minute + window + keep + 2)


class Sums:
    """Sums of the last minutes, moved forward."""

    def __init__(self, minutes: Mapping[int, Counts], window: int) -> None:
        self._minutes = minutes
        self._window = window
        self._held: list[int] = []
        self._sums: Counter[str] = Counter()

    def at(self, minute: int) -> Counts:
        """The sums of the window that ends with this minute, which is later than the one before."""
        if minute in self._minutes:
            self._sums.update(self._minutes[minute])
            self._held.append(minute)
        while self._held and self._held[0] <= minute - self._window:
            self._sums.subtract(self._minutes[self._held.pop(0)])
        return self._sums


def walk(  # noqa: PLR0917 - what is walked through, and how
    rule: Rule, subject: Subject, minutes: Mapping[int, Counts], window_s: tuple[int, int], judging: Judging, end: int
) -> list[Would]:
    """The alerts of one rule about one subject, by the state machine that runs in production."""
    window, last = (max(each // 60, 1) for each in window_s)
    whole, latest = Sums(minutes, window), Sums(minutes, last)
    alert: machine.Alert | None = None
    found: dict[str, Would] = {}
    for minute in visited(minutes, window, rule.keep_s // 60, end):
        judgement = judging(whole.at(minute), latest.at(minute), minute // 60)
        if (alert is None or alert.state not in machine.OPEN) and not judgement.exceeded:
            continue
        now = datetime.fromtimestamp((minute + 1) * 60, UTC)
        verdict = verdict_of(rule, subject, judgement, (minute + 1) * 60, window_s[0])
        alert, steps = machine.advance(alert, verdict, now)
        if alert is not None:
            _note(found, alert, verdict, {step.kind for step in steps}, now)
    return list(found.values())


def _note(found: dict[str, Would], alert: machine.Alert, verdict: Verdict, kinds: set[machine.Kind], now: datetime) -> None:
    before = found.get(alert.alert_id)
    if "firing" in kinds:
        found[alert.alert_id] = Would(verdict, now, alert.peak) if before is None else replace(before, ended=None)
    elif before is not None:
        found[alert.alert_id] = replace(before, peak=alert.peak, ended=now if "resolved" in kinds else before.ended)
