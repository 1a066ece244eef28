"""What the warehouse and the meter would have counted of the requests: sums by step of time."""

from dataclasses import dataclass, field

import numpy as np

from tests.evaluation.requests import Ended
from tests.evaluation.world import CHANNELS, CURRENCIES, MODELS, Array

PLACES = len(MODELS) * len(CHANNELS)
"""A model on a channel: what a mix is made of."""


@dataclass(slots=True)
class Tallies:
    """Arrays of subject and step; tokens by key have steps of their own, shorter ones."""

    keys: int
    accounts: int
    seconds: int
    step_s: int
    token_step_s: int
    tokens: Array = field(init=False)
    channel: dict[str, Array] = field(init=False)
    model: dict[str, Array] = field(init=False)
    spend: Array = field(init=False)
    mix: Array = field(init=False)

    def __post_init__(self) -> None:
        steps = self.seconds // self.step_s
        self.tokens = np.zeros((self.keys, self.seconds // self.token_step_s), np.int64)
        names = ("attempts", "failed", "tokens", "burned_attempts", "burned_tokens")
        self.channel = {name: np.zeros((len(CHANNELS), steps), np.int64) for name in names}
        self.model = {name: np.zeros((len(MODELS), steps), np.int64) for name in ("requests", "fallbacks")}
        self.spend = np.zeros((self.accounts, len(MODELS) * 2, steps), np.int64)
        self.mix = np.zeros((self.accounts, PLACES, steps), np.int32)

    def add(self, found: Ended) -> None:
        """Count requests in."""
        asked = found.asked
        step = asked.second // self.step_s
        size = asked.prompt + asked.answer
        answered = np.where(found.second >= 0, found.second, found.first)
        failed = np.where(found.second >= 0, found.second_failed, found.first_failed)
        used = np.where(failed, 0, size) + np.where(found.first_burned, size // 2 + 1, 0)
        np.add.at(self.tokens, (asked.key, asked.second // self.token_step_s), used)
        self._count_channels(found, step, size)
        np.add.at(self.model["requests"], (asked.model, step), 1)
        fell_back = found.skipped | (found.second >= 0)
        np.add.at(self.model["fallbacks"], (asked.model[fell_back], step[fell_back]), 1)
        paid = ~failed
        cost = asked.prompt * _nano("input_nano")[asked.model] + asked.answer * _nano("output_nano")[asked.model]
        other = np.array([currency == "CNY" for currency in CURRENCIES])[answered]
        route = asked.model.astype(np.int64) * 2 + other
        np.add.at(self.spend, (asked.account[paid], route[paid], step[paid]), cost[paid])
        place = asked.model.astype(np.int64) * len(CHANNELS) + answered
        np.add.at(self.mix, (asked.account[paid], place[paid], step[paid]), 1)

    def _count_channels(self, found: Ended, step: Array, size: Array) -> None:
        again = found.second >= 0
        lost = size // 2 + 1
        for channel, failed, burned, at, tokens in (
            (found.first, found.first_failed, found.first_burned, step, size),
            (found.second[again], found.second_failed[again], np.zeros(int(again.sum()), bool), step[again], size[again]),
        ):
            half = lost if len(tokens) == len(lost) else tokens // 2 + 1
            np.add.at(self.channel["attempts"], (channel, at), 1)
            np.add.at(self.channel["failed"], (channel[failed], at[failed]), 1)
            np.add.at(self.channel["tokens"], (channel, at), np.where(failed, np.where(burned, half, 0), tokens))
            np.add.at(self.channel["burned_attempts"], (channel[burned], at[burned]), 1)
            np.add.at(self.channel["burned_tokens"], (channel[burned], at[burned]), half[burned])


def _nano(name: str) -> Array:
    return np.asarray([getattr(model, name) for model in MODELS], np.int64)


def window_sums(values: Array, steps: int) -> Array:
    """The sum of the last `steps` along the last axis, at each of them."""
    total = np.cumsum(values, axis=-1)
    before = np.zeros_like(total)
    before[..., steps:] = total[..., :-steps] if steps < total.shape[-1] else 0
    return np.asarray(total - before)


def by_hour(values: Array, step_s: int) -> Array:
    """Sums of each hour along the last axis."""
    steps = 3600 // step_s
    whole = values.shape[-1] // steps * steps
    shaped = values[..., :whole].reshape(*values.shape[:-1], -1, steps)
    return np.asarray(shaped.sum(axis=-1))


def busiest_minutes(tokens: Array, step_s: int) -> Array:
    """The most that any minute of each hour has, along the last axis."""
    return np.asarray(_by(tokens, 60 // step_s).reshape(tokens.shape[0], -1, 60).max(axis=-1))


def _by(values: Array, steps: int) -> Array:
    whole = values.shape[-1] // (steps * 60) * (steps * 60)
    return np.asarray(values[..., :whole].reshape(*values.shape[:-1], -1, steps).sum(axis=-1))
