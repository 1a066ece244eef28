"""What keys used and channels did per second, summed from a batch's rows for the velocity meter. Pure."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from schemas.samples import MOST_TAGS
from services.analytics.rows.attempts import ATTEMPTS
from services.analytics.rows.completions import COMPLETIONS
from services.analytics.signals.excused import EXCUSED

MICROS_PER_SECOND = 1_000_000
_AT = {name: position for position, name in enumerate(COMPLETIONS.names)}
_OF = {name: position for position, name in enumerate(ATTEMPTS.names)}
_ATTEMPT = tuple(_OF[name] for name in ("channel", "occurred_at", "outcome", "error_class"))
_SIZES = tuple(_OF[name] for name in ("input_tokens", "cached_input_tokens", "cache_write_tokens", "output_tokens"))


@dataclass(frozen=True, slots=True)
class Sample:
    """What one key used in one second; `second` counts from 1970. `tags` are written name=value."""

    account_id: str
    project_id: str
    key_id: str
    environment: str
    second: int
    requests: int
    tokens: int
    tags: tuple[str, ...] = ()


@dataclass(slots=True)
class ChannelSums:
    """What one channel did in one second. A failure that is the caller's own is an attempt, and none that failed."""

    channel: str
    second: int
    attempts: int = 0
    failed: int = 0
    tokens: int = 0
    burned_attempts: int = 0
    burned_tokens: int = 0
    errors: Counter[str] = field(default_factory=Counter)


def samples(rows: Iterable[tuple[Any, ...]]) -> list[Sample]:
    """One sample per key and second of the given `completions` rows. Tokens of failed attempts count: they were used too."""
    sums: dict[tuple[str, int], tuple[tuple[str, str, str, str], list[int], set[str]]] = {}
    for row in rows:
        whose = (row[_AT["account_id"]], row[_AT["project_id"]], row[_AT["key_id"]], row[_AT["environment"]])
        second = row[_AT["occurred_at"]] // MICROS_PER_SECOND
        _, entry, tags = sums.setdefault((row[_AT["key_id"]], second), (whose, [0, 0], set()))
        entry[0] += 1
        entry[1] += _tokens(row)
        tags.update(f"{name}={value}" for name, value in row[_AT["tags"]].items())
    return [
        Sample(*whose, second, requests=entry[0], tokens=entry[1], tags=tuple(sorted(tags)[:MOST_TAGS]))
        for (_, second), (whose, entry, tags) in sums.items()
    ]


def _tokens(row: tuple[Any, ...]) -> int:
    burned: int = row[_AT["burned_tokens"]]
    if row[_AT["charged_attempt"]] is None:
        return burned
    charged: int = (
        row[_AT["input_tokens"]] + row[_AT["cached_input_tokens"]] + row[_AT["cache_write_tokens"]] + row[_AT["output_tokens"]]
    )
    return burned + charged


def channel_samples(rows: Iterable[tuple[Any, ...]]) -> list[ChannelSums]:
    """One sample per channel and second of the given `attempts` rows: those of attempts that ended."""
    found: dict[tuple[str, int], ChannelSums] = {}
    for row in rows:
        channel, micros, outcome, error_class = (row[at] for at in _ATTEMPT)
        if not outcome:  # an attempt that began, or a fallback
            continue
        place = (channel, micros // MICROS_PER_SECOND)
        sums = found.get(place)
        if sums is None:
            sums = found[place] = ChannelSums(*place)
        tokens = sum(row[at] for at in _SIZES)
        sums.attempts += 1
        sums.tokens += tokens
        if outcome == "failed":
            _count_failure(sums, error_class, tokens)
    return list(found.values())


def _count_failure(sums: ChannelSums, error_class: str, tokens: int) -> None:
    if error_class not in EXCUSED:
        sums.failed += 1
        sums.errors[error_class or "unknown"] += 1
    if tokens:
        sums.burned_attempts += 1
        sums.burned_tokens += tokens
