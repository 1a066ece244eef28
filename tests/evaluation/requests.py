"""Requests as arrays: generated for a key, or read from the trace, and what becomes of them on the channels of the day."""

import csv
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np

from tests.evaluation.world import CHANNELS, MODELS, Array, Key, hourly_rates

TRACE = Path("..") / "shared" / "traces" / "azure_llm_2023_conv.csv"
TRACE_REQUESTS = 19_366
BIN_S = 10
BURSTS_PER_DAY = 0.12
PROBLEM_ERRORS = 0.25
"""Of failed attempts, so many had used tokens before they broke."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Requests as they come in: when (seconds from the beginning), whose, for which model, how long."""

    second: Array
    key: Array
    account: Array
    model: Array
    prompt: Array
    answer: Array


@dataclass(frozen=True, slots=True)
class Conditions:
    """What each channel does at each minute: the share of attempts that fail, of requests that it is passed over for, and of
    failures that had used tokens. By channel and minute."""

    fails: Array
    skipped: Array
    burns: Array


@dataclass(frozen=True, slots=True)
class Ended:
    """What became of them: up to two attempts each. The second's channel is -1 where there was none."""

    asked: Asked
    first: Array
    first_failed: Array
    first_burned: Array
    skipped: Array
    second: Array
    second_failed: Array


def together(parts: list[Asked]) -> Asked:
    """Several as one, in the order of time."""
    columns = [np.concatenate([getattr(part, name) for part in parts]) for name in Asked.__slots__]
    order = np.argsort(columns[0], kind="stable")
    return Asked(*(column[order] for column in columns))


def of_key(rng: np.random.Generator, key: Key, hours: int, sizes: tuple[Array, Array]) -> Asked:
    """What one key asks over some hours: by its hourly rates, uneven within the hour, with bursts that nobody minds."""
    bins = hours * 3600 // BIN_S
    rates = np.repeat(hourly_rates(rng, key, hours), 3600 // BIN_S) / (3600 / BIN_S)
    uneven = np.repeat(rng.gamma(3.0, 1 / 3.0, bins // 30 + 1), 30)[:bins]
    for _ in range(rng.poisson(BURSTS_PER_DAY * hours / 24)):
        begin, length = int(rng.integers(0, bins)), int(rng.integers(30, 240))
        uneven[begin : begin + length] *= rng.lognormal(1.1, 0.4)
    counts = rng.poisson(rates * uneven)
    second = np.repeat(np.arange(bins) * BIN_S, counts) + rng.integers(0, BIN_S, int(counts.sum()))
    return _sized(rng, np.sort(second), key, sizes)


def _sized(rng: np.random.Generator, second: Array, key: Key, sizes: tuple[Array, Array]) -> Asked:
    drawn = rng.integers(0, len(sizes[0]), len(second))
    return Asked(
        second=second,
        key=np.full(len(second), key.index, np.int32),
        account=np.full(len(second), key.account, np.int32),
        model=rng.choice(len(MODELS), size=len(second), p=key.models).astype(np.int8),
        prompt=(sizes[0][drawn] * key.size).astype(np.int64) + 1,
        answer=(sizes[1][drawn] * key.size).astype(np.int64) + 1,
    )


def traced(rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """Second, prompt and answer tokens of each request of the trace; where it is not there, traffic of the same shape."""
    if TRACE.is_file():
        with TRACE.open(encoding="utf-8") as file:
            rows = [(datetime.fromisoformat(row["TIMESTAMP"][:26]), row) for row in csv.DictReader(file)]
        begin = rows[0][0]
        second = np.array([int((at - begin).total_seconds()) for at, _ in rows])
        sizes = [np.array([int(row[name]) for _, row in rows]) for name in ("ContextTokens", "GeneratedTokens")]
        return second, sizes[0], sizes[1]
    second = np.sort(rng.integers(0, 3500, TRACE_REQUESTS))
    prompt = np.clip(rng.lognormal(6.6, 1.0, TRACE_REQUESTS), 3, 14_000).astype(np.int64)
    answer = np.clip(rng.lognormal(5.0, 0.8, TRACE_REQUESTS), 1, 1_000).astype(np.int64)
    return second, prompt, answer


def usual_conditions(rng: np.random.Generator, minutes: int) -> Conditions:
    """An ordinary life: one or two in a hundred fail, some minutes are bad every day, and limits are hit now and then."""
    shape = (len(CHANNELS), minutes)
    base = rng.uniform(0.004, 0.02, (len(CHANNELS), 1))
    fails = np.broadcast_to(base, shape) * rng.lognormal(0, 0.2, shape)
    skipped = np.full(shape, 0.004)
    for channel in range(len(CHANNELS)):
        for _ in range(rng.poisson(2 * minutes / 1440)):
            begin, length = int(rng.integers(0, minutes)), int(rng.integers(1, 6))
            fails[channel, begin : begin + length] += rng.uniform(0.04, 0.14)
        for _ in range(rng.poisson(1.5 * minutes / 1440)):
            begin, length = int(rng.integers(0, minutes)), int(rng.integers(1, 8))
            skipped[channel, begin : begin + length] += rng.uniform(0.03, 0.15)
    return Conditions(np.clip(fails, 0, 1), skipped, np.full(shape, PROBLEM_ERRORS))


def ended(rng: np.random.Generator, asked: Asked, conditions: Conditions) -> Ended:
    """Each request goes to its model's primary channel, and to the backup where that is passed over or fails."""
    count = len(asked.second)
    minute = asked.second // 60
    primary = np.array([model.primary for model in MODELS])[asked.model]
    backup = np.array([model.backup for model in MODELS])[asked.model]
    skipped = rng.random(count) < conditions.skipped[primary, minute]
    first = np.where(skipped, backup, primary)
    first_failed = rng.random(count) < conditions.fails[first, minute]
    burned = first_failed & (rng.random(count) < conditions.burns[first, minute])
    again = first_failed & ~skipped & ~burned
    second = np.where(again, backup, -1)
    second_failed = again & (rng.random(count) < conditions.fails[backup, minute])
    return Ended(asked, first, first_failed, burned, skipped, second, second_failed)


def with_model(asked: Asked, where: Array, model: int) -> Asked:
    """The same, but those of `where` ask for another model."""
    return replace(asked, model=np.where(where, model, asked.model))
