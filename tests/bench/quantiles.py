"""Quantiles of what was measured."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict


class Quantiles(BaseModel):
    """p50 and p99 in milliseconds over `count` values; None where there were none."""

    model_config = ConfigDict(frozen=True)

    p50_ms: float | None
    p99_ms: float | None
    count: int

    def over(self, base: Quantiles) -> Quantiles:
        """This minus `base`, quantile by quantile: what was added."""
        return Quantiles(
            p50_ms=_difference(self.p50_ms, base.p50_ms), p99_ms=_difference(self.p99_ms, base.p99_ms), count=self.count
        )


def quantiles(values_ms: Sequence[float]) -> Quantiles:
    """The nearest-rank quantiles of `values_ms`, in any order."""
    ordered = sorted(values_ms)
    return Quantiles(p50_ms=_at(ordered, 0.50), p99_ms=_at(ordered, 0.99), count=len(ordered))


def _at(ordered: Sequence[float], fraction: float) -> float | None:
    if not ordered:
        return None
    rank = -int(-fraction * len(ordered) // 1)
    return ordered[max(rank, 1) - 1]


def _difference(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one - other
