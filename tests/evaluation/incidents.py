"""Incidents, injected into an hour of traffic: each kind is what its signal is there for."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from tests.evaluation.replay import Subject
from tests.evaluation.requests import Asked, Conditions, together, with_model
from tests.evaluation.world import MODELS, Array

RUNAWAY_TOKENS = 2_000_000
RUNAWAY_S = 600
RUNAWAYS = 10
"""Of the incidents of the first kind, so many are the key that goes from 20,000 tokens an hour to 2,000,000 in ten minutes."""


@dataclass(frozen=True, slots=True)
class Incident:
    """What was injected: whom it concerns, and from when to when (seconds of the hour)."""

    subject: Subject
    begin_s: int
    end_s: int
    asked: Asked
    conditions: Conditions
    about: str = ""


@dataclass(frozen=True, slots=True)
class Stage:
    """The hour that incidents are injected into, and what its subjects usually do."""

    asked: Asked
    conditions: Conditions
    quiet_key: int
    peaks: Array
    by_channel: Array
    by_model: Array
    by_account: Array
    spend: Array


Injected = Callable[[np.random.Generator, Stage, int], Incident]


def _window(rng: np.random.Generator, least_min: int, most_min: int) -> tuple[int, int]:
    length = int(rng.integers(least_min, most_min + 1)) * 60
    begin = int(rng.integers(300, 3600 - length + 1)) if length < 3300 else 300
    return begin, begin + length


def runaway(rng: np.random.Generator, stage: Stage, number: int) -> Incident:
    """A key that uses many more tokens: the quiet one from 20k an hour to 2M in ten minutes, others six times their busiest."""
    account = {int(key): int(of) for key, of in zip(stage.asked.key, stage.asked.account, strict=True)}
    if number < RUNAWAYS:
        key, per_s, (begin, end) = stage.quiet_key, RUNAWAY_TOKENS / RUNAWAY_S, _window(rng, 10, 10)
    else:
        key = int(rng.choice(list(account)))
        per_s = max(250_000.0, 6 * float(stage.peaks[key])) * rng.uniform(1.0, 4.0) / 60
        begin, end = _window(rng, 4, 15)
    size = int(rng.integers(800, 6_000))
    count = max(1, round(per_s * (end - begin) / size))
    second = np.sort(rng.integers(begin, end, count))
    answer = np.full(count, max(1, size // 8))
    model = int(rng.integers(0, len(MODELS)))
    more = Asked(
        second=second,
        key=np.full(count, key, np.int32),
        account=np.full(count, account.get(key, 0), np.int32),
        model=np.full(count, model, np.int8),
        prompt=np.full(count, size) - answer,
        answer=answer,
    )
    about = "20k/h to 2M in 10 min" if number < RUNAWAYS else "six to 24 times its busiest minute"
    return Incident((key,), begin, end, together([stage.asked, more]), stage.conditions, about)


def _worse(values: Array, channel: int, begin: int, end: int, share: float) -> Array:
    changed = values.copy()
    first, last = begin // 60, (end + 59) // 60
    changed[channel, first:last] = 1 - (1 - changed[channel, first:last]) * (1 - share)
    return changed


def errors(rng: np.random.Generator, stage: Stage, _: int) -> Incident:
    """A channel of which half to all attempts fail."""
    channel = int(rng.choice(np.nonzero(stage.by_channel >= 240)[0]))
    begin, end = _window(rng, 5, 20)
    begin, end = begin // 60 * 60, end // 60 * 60
    fails = _worse(stage.conditions.fails, channel, begin, end, rng.uniform(0.45, 1.0))
    return Incident((channel,), begin, end, stage.asked, replace(stage.conditions, fails=fails))


def fallbacks(rng: np.random.Generator, stage: Stage, _: int) -> Incident:
    """A model whose primary channel is passed over for half to all of its requests."""
    model = int(rng.choice(np.nonzero(stage.by_model >= 240)[0]))
    begin, end = _window(rng, 8, 20)
    begin, end = begin // 60 * 60, end // 60 * 60
    skipped = _worse(stage.conditions.skipped, MODELS[model].primary, begin, end, rng.uniform(0.5, 1.0))
    return Incident((model,), begin, end, stage.asked, replace(stage.conditions, skipped=skipped))


def burned(rng: np.random.Generator, stage: Stage, _: int) -> Incident:
    """A channel whose answers break midway: 40 to 90 of a hundred, after tokens were used."""
    channel = int(rng.choice(np.nonzero(stage.by_channel >= 240)[0]))
    begin, end = _window(rng, 10, 20)
    begin, end = begin // 60 * 60, end // 60 * 60
    fails = _worse(stage.conditions.fails, channel, begin, end, rng.uniform(0.4, 0.9))
    burns = _worse(stage.conditions.burns, channel, begin, end, 0.95)
    return Incident((channel,), begin, end, stage.asked, replace(stage.conditions, fails=fails, burns=burns))


def spend(rng: np.random.Generator, stage: Stage, _: int) -> Incident:
    """An account that spends on one route, within half an hour, six to twenty times what it usually does in a whole one."""
    account = int(rng.choice(np.nonzero(stage.by_account >= 60)[0]))
    model = int(rng.integers(0, len(MODELS)))
    begin, end = _window(rng, 15, 40)
    chinese = MODELS[model].primary >= 4
    usual = float(stage.spend[account, model * 2 + chinese])
    wanted = max(usual, 3e9 if not chinese else 20e9) * rng.uniform(6, 20)
    prompt, answer = 4_000, 1_000
    each = prompt * MODELS[model].input_nano + answer * MODELS[model].output_nano
    count = max(1, round(wanted / each))
    key = int(stage.asked.key[stage.asked.account == account][0])
    more = Asked(
        second=np.sort(rng.integers(begin, end, count)),
        key=np.full(count, key, np.int32),
        account=np.full(count, account, np.int32),
        model=np.full(count, model, np.int8),
        prompt=np.full(count, prompt),
        answer=np.full(count, answer),
    )
    return Incident((account, model * 2 + chinese), begin, end, together([stage.asked, more]), stage.conditions)


def mix(rng: np.random.Generator, stage: Stage, _: int) -> Incident:
    """An account of which seven to ten of ten requests suddenly ask for another model."""
    account = int(rng.choice(np.nonzero(stage.by_account >= 200)[0]))
    begin, end = _window(rng, 25, 40)
    own = (stage.asked.account == account) & (stage.asked.second >= begin) & (stage.asked.second < end)
    usual = np.bincount(stage.asked.model[stage.asked.account == account], minlength=len(MODELS))
    moved = own & (rng.random(len(own)) < rng.uniform(0.7, 1.0))
    return Incident((account,), begin, end, with_model(stage.asked, moved, int(usual.argmin())), stage.conditions)


KINDS: dict[str, Injected] = {
    "tokens_per_minute_by_key": runaway,
    "error_rate_by_channel": errors,
    "fallback_frequency": fallbacks,
    "spend_by_route": spend,
    "mix_change": mix,
    "failed_with_tokens": burned,
}
