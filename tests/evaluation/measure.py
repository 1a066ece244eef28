"""The figures: recall and delay by incidents in the trace's hour, false alerts by weeks without any."""

from dataclasses import dataclass, field
from statistics import median

import numpy as np

from schemas.alert_rules import AlertRules
from tests.evaluation.bounds import binomial_lower, poisson_upper
from tests.evaluation.incidents import KINDS, RUNAWAYS, Incident
from tests.evaluation.replay import Alert, History, replay
from tests.evaluation.stage import Ground, ground, happened, weeks
from tests.evaluation.world import HOURS

GRACE_S = 120
"""An alert that fires so long after its incident has ended is still its alert."""
SCHEDULED_S = 30
"""The mean of what the schedule adds is half of this; the figures add all of it."""
SCHEDULED = {"fallback_frequency", "spend_by_route", "mix_change"}


@dataclass(slots=True)
class Figures:
    """Of one signal."""

    injected: int = 0
    found: int = 0
    delays_s: list[int] = field(default_factory=list)
    beside: int = 0
    false: int = 0
    key_days: float = 0.0
    runaway_delays_s: list[int] = field(default_factory=list)

    @property
    def recall(self) -> float:
        """The share of incidents that were found."""
        return self.found / self.injected

    @property
    def recall_lower(self) -> float:
        """Its exact lower bound at 95%."""
        return binomial_lower(self.found, self.injected)

    @property
    def false_per_1000(self) -> float:
        """False alerts per 1,000 key-days."""
        return self.false / self.key_days * 1000

    @property
    def false_upper(self) -> float:
        """Their exact upper bound at 95%."""
        return poisson_upper(self.false) / self.key_days * 1000

    def delay_s(self, share: float) -> float:
        """The delay that `share` of the found incidents do not exceed."""
        ordered = sorted(self.delays_s)
        return float(ordered[min(len(ordered) - 1, int(share * len(ordered)))]) if ordered else float("nan")

    @property
    def median_s(self) -> float:
        """The delay in the middle."""
        return float(median(self.delays_s)) if self.delays_s else float("nan")


def _hit(alerts: list[Alert], incident: Incident) -> Alert | None:
    return next(
        (
            alert
            for alert in alerts
            if alert.subject == incident.subject and incident.begin_s < alert.fired_s <= incident.end_s + GRACE_S
        ),
        None,
    )


def _incidents(rng: np.random.Generator, rules: AlertRules, at: Ground, signal: str, count: int) -> Figures:
    found = Figures(injected=count)
    for number in range(count):
        incident = KINDS[signal](rng, at.stage, number)
        alerts = replay(rules, happened(rng, incident), at.past, {signal})[signal]
        hit = _hit(alerts, incident)
        found.beside += len([alert for alert in alerts if alert.subject != incident.subject])
        if hit is None:
            continue
        found.found += 1
        delay_s = hit.fired_s - incident.begin_s + (SCHEDULED_S if signal in SCHEDULED else 0)
        found.delays_s.append(delay_s)
        if signal == "tokens_per_minute_by_key" and number < RUNAWAYS:
            found.runaway_delays_s.append(delay_s)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is tried."""

    incidents: int = 50
    keys: int = 179
    hours: int = HOURS
    past_hours: int = HOURS


def measure(rules: AlertRules, seed: int, size: Size) -> dict[str, Figures]:
    """Signal → its figures."""
    rng = np.random.default_rng(seed)
    at = ground(rng, size.past_hours)
    found = {signal: _incidents(rng, rules, at, signal, size.incidents) for signal in KINDS}
    counted = weeks(rng, size.keys, size.hours)
    for signal, alerts in replay(rules, counted, History.of(counted)).items():
        found[signal].false = len(alerts)
        found[signal].key_days = size.keys * size.hours / 24
    return found
