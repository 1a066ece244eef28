"""The two grounds that the rules are tried on: four generated weeks without an incident, and an hour of the trace with them."""

from dataclasses import dataclass

import numpy as np

from tests.evaluation.incidents import Incident, Stage
from tests.evaluation.replay import History
from tests.evaluation.requests import Asked, ended, of_key, traced, usual_conditions
from tests.evaluation.tallies import Tallies, by_hour
from tests.evaluation.world import HOURS, MODEL_SHARES, MODELS, population

TRACE_KEYS = 40
TRACE_ACCOUNTS = 12
QUIET_KEY = TRACE_KEYS - 1
QUIET_REQUESTS = 15
"""Some 20,000 tokens an hour."""
STEP_S, TOKEN_STEP_S = 60, 10


def weeks(rng: np.random.Generator, keys: int, hours: int = HOURS) -> Tallies:
    """Ordinary traffic of so many keys."""
    _, prompts, answers = traced(rng)
    accounts = max(2, keys // 7)
    counted = Tallies(keys=keys, accounts=accounts, seconds=hours * 3600, step_s=STEP_S, token_step_s=TOKEN_STEP_S)
    conditions = usual_conditions(rng, hours * 60)
    for key in population(rng, keys, accounts):
        counted.add(ended(rng, of_key(rng, key, hours, (prompts, answers)), conditions))
    return counted


def assigned(rng: np.random.Generator) -> Asked:
    """The trace with keys: a few make most requests, and one is as quiet as the one that will run away."""
    second, prompt, answer = traced(rng)
    weights = 1 / (1 + np.arange(TRACE_KEYS))
    weights[QUIET_KEY] = 0
    weights *= (1 - QUIET_REQUESTS / len(second)) / weights.sum()
    weights[QUIET_KEY] = QUIET_REQUESTS / len(second)
    key = rng.choice(TRACE_KEYS, size=len(second), p=weights)
    preferred = rng.choice(len(MODELS), size=(TRACE_KEYS, 2), p=MODEL_SHARES)
    model = preferred[key, (rng.random(len(second)) < 0.2).astype(int)]
    return Asked(second, key.astype(np.int32), (key % TRACE_ACCOUNTS).astype(np.int32), model.astype(np.int8), prompt, answer)


@dataclass(frozen=True, slots=True)
class Ground:
    """The hour of the trace, and the weeks before it."""

    stage: Stage
    past: History


def ground(rng: np.random.Generator, hours: int = HOURS) -> Ground:
    """The weeks before are drawn from the hour itself, hour by hour, more or less of it by the time of day."""
    asked = assigned(rng)
    before = Tallies(keys=TRACE_KEYS, accounts=TRACE_ACCOUNTS, seconds=hours * 3600, step_s=STEP_S, token_step_s=TOKEN_STEP_S)
    conditions = usual_conditions(rng, (hours + 1) * 60)
    for hour in range(hours):
        busy = (0.55 - 0.45 * np.cos((hour - hours) / 24 * 2 * np.pi + np.pi)) * rng.lognormal(0, 0.2)
        drawn = np.sort(rng.integers(0, len(asked.second), rng.poisson(len(asked.second) * max(busy, 0.02))))
        again = Asked(*(getattr(asked, name)[drawn] for name in Asked.__slots__))
        shifted = Asked(again.second + hour * 3600, again.key, again.account, again.model, again.prompt, again.answer)
        before.add(ended(rng, shifted, conditions))
    past = History.of(before, first_hour=hours)
    now = usual_conditions(rng, 60)
    usual = _counted(rng, Incident((), 0, 0, asked, now))
    stage = Stage(
        asked=asked,
        conditions=now,
        quiet_key=QUIET_KEY,
        peaks=past.peaks.max(axis=1),
        by_channel=usual.channel["attempts"].sum(axis=1),
        by_model=usual.model["requests"].sum(axis=1),
        by_account=np.bincount(asked.account, minlength=TRACE_ACCOUNTS),
        spend=np.maximum(by_hour(usual.spend, usual.step_s).max(axis=-1), past.spend.max(axis=-1)),
    )
    return Ground(stage, past)


def _counted(rng: np.random.Generator, incident: Incident) -> Tallies:
    counted = Tallies(keys=TRACE_KEYS, accounts=TRACE_ACCOUNTS, seconds=3600, step_s=5, token_step_s=1)
    counted.add(ended(rng, incident.asked, incident.conditions))
    return counted


def happened(rng: np.random.Generator, incident: Incident) -> Tallies:
    """What the warehouse and the meter count of the hour with its incident: tokens by the second, all else by five."""
    return _counted(rng, incident)
