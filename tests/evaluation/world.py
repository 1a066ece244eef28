"""Who asks for what in the evaluation: keys of several habits, accounts, models, their channels and prices."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Habit = Literal["office", "service", "batch", "sporadic"]
HABITS: tuple[Habit, ...] = ("office", "service", "batch", "sporadic")
HABIT_SHARES = (0.45, 0.25, 0.12, 0.18)
NEW_KEYS = 0.12
"""Keys that are made only during the four weeks: they have no history."""
HOURS = 4 * 168


@dataclass(frozen=True, slots=True)
class Model:
    """A model that clients ask for: its primary channel and its backup, and nano units per token."""

    name: str
    primary: int
    backup: int
    input_nano: int
    output_nano: int


CHANNELS = ("openai-a", "openai-b", "anthropic-a", "gemini-a", "pool-a", "pool-b", "vllm-small")
CURRENCIES = ("USD", "USD", "USD", "USD", "CNY", "CNY", "CNY")
MODELS = (
    Model("large", 0, 1, 2_500, 10_000),
    Model("small", 0, 1, 150, 600),
    Model("writer", 2, 0, 3_000, 15_000),
    Model("flash", 3, 1, 300, 2_500),
    Model("pooled", 4, 5, 2_000, 8_000),
    Model("house", 6, 4, 500, 1_000),
)
MODEL_SHARES = (0.3, 0.28, 0.14, 0.12, 0.12, 0.04)


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One API key. `per_hour` is how many requests it makes in a usual active hour, `size` how long they are."""

    index: int
    account: int
    habit: Habit
    per_hour: float
    size: float
    models: Array
    offset_h: int
    first_hour: int


def population(rng: np.random.Generator, keys: int, accounts: int) -> list[Key]:
    """Keys with habits, sizes and preferences, drawn at random."""
    found = []
    for index in range(keys):
        habit = HABITS[int(rng.choice(len(HABITS), p=HABIT_SHARES))]
        preferred = rng.choice(len(MODELS), size=2, replace=False, p=MODEL_SHARES)
        weights = np.zeros(len(MODELS))
        weights[preferred[0]] = 0.8
        weights[preferred[1]] = 0.2
        found.append(
            Key(
                index=index,
                account=index % accounts,
                habit=habit,
                per_hour=min(1_500.0, float(rng.lognormal(3.6, 1.1))),
                size=float(rng.lognormal(0.0, 0.5)),
                models=weights,
                offset_h=int(rng.integers(-8, 9)),
                first_hour=int(rng.integers(0, HOURS - 48)) if rng.random() < NEW_KEYS else 0,
            )
        )
    return found


def hourly_rates(rng: np.random.Generator, key: Key, hours: int) -> Array:
    """Requests that the key would make in each hour: its habit, growth, a free day, and noise from hour to hour."""
    hour = np.arange(hours)
    of_day, day = (hour + key.offset_h) % 24, (hour + key.offset_h) // 24
    weekend = day % 7 >= 5
    if key.habit == "office":
        shape = np.clip(np.sin((of_day - 7) / 12 * np.pi), 0.02, None) * np.where(weekend, 0.12, 1.0)
    elif key.habit == "service":
        shape = (0.65 + 0.35 * np.sin((of_day - 9) / 12 * np.pi)) * np.where(weekend, 0.8, 1.0)
    elif key.habit == "batch":
        late = rng.random(hours // 24 + 2)[day - day.min()] < 0.08
        shape = np.where((of_day == 2) | (late & (of_day == 4)), 12.0, 0.0)
    else:
        shape = np.where(rng.random(hours) < 0.08, 2.0, 0.0)
    free = rng.integers(0, 28)
    shape = shape * np.where(day == free, 0.2, 1.0) * np.where(day == free + 1, 1.3, 1.0)
    growth = np.exp(rng.normal(0, 0.3) * hour / HOURS)
    rates: Array = key.per_hour * shape * growth * rng.lognormal(0, 0.35, hours)
    rates[: key.first_hour] = 0.0
    return rates
