"""Why a cost changed between two spans, in one currency: the change split into effects that add up to it. Pure, and exact.

The method is a nested split by halves (a Shapley value at each level). At each level a product of two factors changes, and each
factor is given its own change times the mean of the other: `x₁y₁ - x₀y₀ = (x₁-x₀)(y₀+y₁)/2 + (y₁-y₀)(x₀+x₁)/2`. The levels, in
this order:

1. cost = requests x cost per request. The first factor's part is `volume`; what changes the second is told by the others:
   cost per request = planned cost + `fallback` + `retry` (+ the charges' own roundings), each per request.
2. planned cost per request = the sum over cells (requested model x what the plan would have had answer) of the cell's share of
   the requests x its cost per request. The shares' part is `mix`. A cell that only one span has counts with its cost there, so
   that new and vanished models are mix alone.
3. a cell's cost per request = the sum over classes of tokens x price. The prices' part is `price`, that of the class of output
   is `output_size`.
4. prompt tokens of a class per request = prompt tokens per request (`prompt_size`) x the class's share of them (`cache`).

A factor that has not changed has no effect; equal spans have none; with the spans swapped every effect has the other sign. In
a cell where a price is missing, 3 and 4 are one effect, `unpriced`. Where a span has no requests there is no cost per request:
`volume` is the whole planned cost then, `fallback` and `retry` are all that they came to.

Each part of a cell in `mix`, `price` and the sizes is rounded once to whole nano, `volume`, `fallback` and `retry` as wholes.
`rounding` is what is left: half a nano for each of these, and what the single charges were rounded by.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from services.analytics.usage_api.charges import CLASSES, MICRO, OUTPUT, PROMPT, Cell, Side, Sums

VOLUME, PROMPT_SIZE, CACHE, OUTPUT_SIZE = "volume", "prompt_size", "cache", "output_size"
MIX, PRICE, FALLBACK, RETRY = "mix", "price", "fallback", "retry"
UNPRICED, ROUNDING = "unpriced", "rounding"
EFFECTS = (VOLUME, PROMPT_SIZE, CACHE, OUTPUT_SIZE, MIX, PRICE, FALLBACK, RETRY, UNPRICED)
AS_WHOLES = frozenset((VOLUME, FALLBACK, RETRY))
"""Their cells have one denominator, so that the exact sum stays small."""
Parts = dict[str, Fraction]
NOTHING = Sums()
ZERO = Fraction(0)


@dataclass(frozen=True, slots=True)
class _Whole:
    """A span as a whole."""

    requests: int
    planned: int
    cost: int


class Comparison:
    """Two spans of one currency. What they come to as wholes is what any part of them is measured by."""

    def __init__(self, before: Side, after: Side) -> None:
        self._cells = before.cells, after.cells
        self._spans = tuple(_Whole(whole.requests, whole.planned, whole.cost) for whole in (before.total(), after.total()))

    @property
    def change_nano(self) -> int:
        """What the cost changed by."""
        before, after = self._spans
        return (after.cost - before.cost) // MICRO

    def effects(self) -> dict[str, int]:
        """Each effect in nano; they add up to the change."""
        found = dict.fromkeys(EFFECTS, ZERO)
        for cell in sorted({*self._cells[0], *self._cells[1]}):
            parts = self._of(cell, *(cells.get(cell, NOTHING) for cells in self._cells))
            for effect, amount in parts.items():
                found[effect] += amount / MICRO if effect in AS_WHOLES else round(amount / MICRO)
        rounded = {effect: round(nano) for effect, nano in found.items()}
        return rounded | {ROUNDING: self.change_nano - sum(rounded.values())}

    def by_cell(self, before: Mapping[Cell, Sums], after: Mapping[Cell, Sums]) -> dict[Cell, dict[str, int]]:
        """Cell → what a part of the two spans, such as one key's, gives to each effect, in nano.

        The parts of all keys come to the effects (but for roundings): each is measured by its distance from the means.
        """
        return {
            cell: {
                effect: round(amount / MICRO)
                for effect, amount in self._of(cell, before.get(cell, NOTHING), after.get(cell, NOTHING)).items()
            }
            for cell in sorted({*before, *after})
        }

    def dearness(self, cell: Cell) -> Fraction:
        """What a request of a cell costs as planned: the mean of the two spans."""
        old, new = (cells.get(cell, NOTHING) for cells in self._cells)
        return _mean(*_each(old.planned, old.requests, new.planned, new.requests))

    def share_moved(self, cell: Cell, before: Side, after: Side) -> float:
        """By how much a part's share of all requests in a cell has changed: to tell from where to where requests moved."""
        counts = [side.cells[cell].requests if cell in side.cells else 0 for side in (before, after)]
        first, last = (
            count / whole.requests if whole.requests else 0.0 for count, whole in zip(counts, self._spans, strict=True)
        )
        return last - first

    def _of(self, cell: Cell, before: Sums, after: Sums) -> Parts:
        first, last = self._spans
        if not first.requests or not last.requests:
            return {
                VOLUME: Fraction(after.planned - before.planned),
                FALLBACK: Fraction(after.fallback - before.fallback),
                RETRY: Fraction(after.retry - before.retry),
            }
        requests = Fraction(first.requests + last.requests, 2)

        def shift(amount_of: Callable[[Sums], int]) -> Fraction:
            return Fraction(amount_of(after), last.requests) - Fraction(amount_of(before), first.requests)

        cost = _mean(Fraction(first.cost, first.requests), Fraction(last.cost, last.requests))
        planned = _mean(Fraction(first.planned, first.requests), Fraction(last.planned, last.requests))
        old, new = self._cells[0].get(cell, NOTHING), self._cells[1].get(cell, NOTHING)
        parts = {
            VOLUME: (after.requests - before.requests) * cost,
            MIX: requests * shift(lambda sums: sums.requests) * (self.dearness(cell) - planned),
            FALLBACK: requests * shift(lambda sums: sums.fallback),
            RETRY: requests * shift(lambda sums: sums.retry),
        }
        if not old.requests or not new.requests:
            return parts
        weight = requests * _mean(Fraction(old.requests, first.requests), Fraction(new.requests, last.requests))
        within = _Within(old, new, before, after)
        return parts | {effect: weight * part for effect, part in within.parts().items()}


@dataclass(frozen=True, slots=True)
class _Within:
    """One cell: as a whole in both spans, and the part whose effects are asked for."""

    old: Sums
    new: Sums
    before: Sums
    after: Sums

    def parts(self) -> Parts:
        """What changed the cell's cost per request."""
        if self.old.unpriced or self.new.unpriced:
            return {UNPRICED: self._ratio(lambda sums: sums.planned, lambda sums: sums.requests)}
        prices = [self._price(each) for each in CLASSES]
        requests = lambda sums: sums.requests  # noqa: E731 - what the sizes are of
        prompt = lambda sums: sums.prompt  # noqa: E731 - what the classes are of
        tokens_each = [self._mean(_tokens(each), requests) for each in CLASSES]
        shares = [self._mean(_tokens(each), prompt) for each in PROMPT]
        dearness = sum((share * prices[each] for each, share in zip(PROMPT, shares, strict=True)), ZERO)
        by_share = (prices[each] * self._ratio(_tokens(each), prompt) for each in PROMPT)
        by_price = (tokens_each[each] * self._ratio(_worth(each), _tokens(each)) for each in CLASSES)
        return {
            PRICE: sum(by_price, ZERO),
            OUTPUT_SIZE: prices[OUTPUT] * self._ratio(_tokens(OUTPUT), requests),
            PROMPT_SIZE: dearness * self._ratio(prompt, requests),
            CACHE: self._mean(prompt, requests) * sum(by_share, ZERO),
        }

    def _price(self, of: int) -> Fraction:
        return self._mean(_worth(of), _tokens(of))

    def _mean(self, amount: "_Count", base: "_Count") -> Fraction:
        """The mean of the two spans' ratios."""
        return _mean(*_each(amount(self.old), base(self.old), amount(self.new), base(self.new)))

    def _ratio(self, amount: "_Count", base: "_Count") -> Fraction:
        """What the part gives to the change of the cell's ratio, by its distance from the mean; 0 where there is no ratio."""
        if not base(self.old) or not base(self.new):
            return ZERO
        mean = self._mean(amount, base)
        distance = (
            (amount(part) - base(part) * mean) / base(whole)
            for part, whole in ((self.after, self.new), (self.before, self.old))
        )
        return next(distance) - next(distance)


_Count = Callable[[Sums], int]


def _tokens(of: int) -> _Count:
    return lambda sums: sums.tokens[of]


def _worth(of: int) -> _Count:
    return lambda sums: sums.worth[of]


def _mean(one: Fraction, other: Fraction) -> Fraction:
    return (one + other) / 2


def _each(amount: int, base: int, later_amount: int, later_base: int) -> tuple[Fraction, Fraction]:
    """The ratio in each span; a span without a base has the other's, and neither has any if both have none."""
    if not base and not later_base:
        return ZERO, ZERO
    ratio = Fraction(amount, base) if base else Fraction(later_amount, later_base)
    later = Fraction(later_amount, later_base) if later_base else ratio
    return ratio, later
