"""How much is too much: a rule's floor against what is usual. Pure."""

from typing import Protocol

from services.analytics.signals.baseline import Baseline


class Usual(Protocol):
    """The part of a rule that says how far above what is usual the threshold lies."""

    @property
    def factor(self) -> float:
        """Times the usual value."""

    @property
    def spread(self) -> float:
        """Times the usual distance from it."""

    @property
    def peak_factor(self) -> float:
        """Times the busiest hours."""


def above_usual(rule: Usual, baseline: Baseline) -> float:
    """The threshold that the baseline alone would set."""
    return max(
        rule.factor * baseline.centre,
        baseline.centre + rule.spread * baseline.spread,
        rule.peak_factor * baseline.peak,
    )
