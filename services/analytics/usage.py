"""Tokens per key and second, summed from completions for the velocity meter. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from services.analytics.rows.completions import COMPLETIONS

MICROS_PER_SECOND = 1_000_000
_AT = {name: position for position, name in enumerate(COMPLETIONS.names)}


@dataclass(frozen=True, slots=True)
class Sample:
    """What one key used in one second; `second` counts from 1970."""

    account_id: str
    project_id: str
    key_id: str
    environment: str
    second: int
    requests: int
    tokens: int


def samples(rows: Iterable[tuple[Any, ...]]) -> list[Sample]:
    """One sample per key and second of the given `completions` rows. Tokens of failed attempts count: they were used too."""
    sums: dict[tuple[str, str, str, str, int], list[int]] = {}
    for row in rows:
        key = (
            row[_AT["account_id"]],
            row[_AT["project_id"]],
            row[_AT["key_id"]],
            row[_AT["environment"]],
            row[_AT["occurred_at"]] // MICROS_PER_SECOND,
        )
        entry = sums.setdefault(key, [0, 0])
        entry[0] += 1
        entry[1] += _tokens(row)
    return [Sample(*key, requests=entry[0], tokens=entry[1]) for key, entry in sums.items()]


def _tokens(row: tuple[Any, ...]) -> int:
    burned: int = row[_AT["burned_tokens"]]
    if row[_AT["charged_attempt"]] is None:
        return burned
    charged: int = (
        row[_AT["input_tokens"]] + row[_AT["cached_input_tokens"]] + row[_AT["cache_write_tokens"]] + row[_AT["output_tokens"]]
    )
    return burned + charged
