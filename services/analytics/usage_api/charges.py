"""What was charged in one span, parted into what was planned, what fallbacks added and what attempts beside it cost. Pure.

Everything is an exact integer of millionths of a nano: tokens times prices per million tokens. Currencies are never added.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

MICRO = 1_000_000
"""Parts of a nano: the scale of a price per million tokens."""
PROMPT = (0, 1, 2)
OUTPUT = 3
CLASSES = (*PROMPT, OUTPUT)


class Tokens(NamedTuple):
    """Of some requests, in classes that do not overlap: the first three are the prompt's."""

    input: int = 0
    cached_input: int = 0
    cache_write: int = 0
    output: int = 0


class Route(NamedTuple):
    """What a price depends on."""

    route_type: str
    model: str


class Price(NamedTuple):
    """Nano per million tokens of each class, in the currency of the route type's bucket."""

    currency: str
    nano: Tokens


class Cell(NamedTuple):
    """What was asked for, and what the plan would have had answer first: where prices and sizes are compared like with like."""

    requested_model: str
    planned: Route


NO_ROUTE = Route("", "")
NO_TOKENS = Tokens()
PriceOf = Callable[[int, Route], Price | None]
"""The price of a route in a version of the price book; None where it is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Charges:
    """Some charges that have all of this in common. `planned` is None where the event does not say.

    `lost` are those of requests that never ended (Expired): they have no route and are no charged requests.
    """

    currency: str
    requested_model: str = ""
    served: Route = NO_ROUTE
    planned: Route | None = None
    price_version: int = 0
    requests: int = 0
    tokens: Tokens = NO_TOKENS
    spent_nano: int = 0
    beside_nano: int = 0
    lost: bool = False


@dataclass(slots=True)
class Sums:
    """What charges of one cell come to. Amounts are millionths of a nano.

    `worth` is what the tokens of each class cost as planned, `planned` what the requests did; where a price was missing
    (`unpriced`), what they cost. `crossed` are those of `fallen_back` that are charged in another currency than planned.
    """

    requests: int = 0
    tokens: list[int] = field(default_factory=lambda: [0, 0, 0, 0])
    worth: list[int] = field(default_factory=lambda: [0, 0, 0, 0])
    planned: int = 0
    fallback: int = 0
    retry: int = 0
    cost: int = 0
    fallen_back: int = 0
    crossed: int = 0
    unpriced: bool = False

    def count(self, each: Charges, worth: Iterable[int] = (0, 0, 0, 0), *, planned: int) -> None:
        """Add requests, their tokens and what these cost as planned."""
        self.requests += each.requests
        self.tokens = [a + b for a, b in zip(self.tokens, each.tokens, strict=True)]
        self.worth = [a + b for a, b in zip(self.worth, worth, strict=True)]
        self.planned += planned

    @property
    def prompt(self) -> int:
        """Tokens of all prompts."""
        return sum(self.tokens[each] for each in PROMPT)


@dataclass(slots=True)
class Side:
    """One span in one currency, and what of it could not be told exactly."""

    cells: dict[Cell, Sums] = field(default_factory=lambda: defaultdict(Sums))
    unpriced_versions: set[int] = field(default_factory=set)
    unplanned_requests: int = 0

    def total(self) -> Sums:
        """All cells together."""
        whole = Sums()
        for each in self.cells.values():
            whole.requests += each.requests
            whole.fallback += each.fallback
            whole.fallen_back += each.fallen_back
            whole.crossed += each.crossed
            whole.retry += each.retry
            whole.planned += each.planned
            whole.cost += each.cost
            whole.tokens = [a + b for a, b in zip(whole.tokens, each.tokens, strict=True)]
        return whole


def sides(charges: Iterable[Charges], price_of: PriceOf) -> dict[str, Side]:
    """Currency → what was charged in it.

    A request that another currency was planned for counts there as planned, with a fallback that took all of it away, and
    adds all that it cost to the fallbacks of the currency that it was charged in.
    """
    found: dict[str, Side] = defaultdict(Side)
    for each in charges:
        side = found[each.currency]
        if each.lost:
            sums = side.cells[Cell(each.requested_model, each.served)]
            sums.cost += each.spent_nano * MICRO
            sums.retry += each.spent_nano * MICRO
        else:
            _add_charged(found, each, price_of)
    return dict(found)


def _add_charged(found: dict[str, Side], each: Charges, price_of: PriceOf) -> None:
    side, planned = found[each.currency], each.planned or each.served
    served_at = price_of(each.price_version, each.served)
    planned_at = price_of(each.price_version, planned) if planned != each.served else served_at
    if each.planned is None:
        side.unplanned_requests += each.requests
    if served_at is None or planned_at is None:
        side.unpriced_versions.add(each.price_version)
        planned, planned_at = each.served, served_at
    sums = side.cells[Cell(each.requested_model, planned)]
    sums.cost += each.spent_nano * MICRO
    if served_at is None or planned_at is None:
        sums.unpriced = True
        sums.retry += each.beside_nano * MICRO
        sums.count(each, planned=(each.spent_nano - each.beside_nano) * MICRO)
        return
    charged, worth = sum(_worth(each.tokens, served_at)), _worth(each.tokens, planned_at)
    fell = each.requests if planned != each.served else 0
    sums.retry += _beside(each, charged)
    sums.fallback += charged
    sums.fallen_back += fell
    home = found[planned_at.currency].cells[Cell(each.requested_model, planned)]
    home.fallback -= sum(worth)
    if home is not sums:
        home.fallen_back += fell
        home.crossed += fell
        sums.crossed += fell
    home.count(each, worth, planned=sum(worth))


def _beside(each: Charges, charged: int) -> int:
    """What attempts beside the charged ones cost. Old events do not say: there it is what roundings cannot explain."""
    excess = each.spent_nano * MICRO - charged
    if each.planned is None and not each.beside_nano:
        return excess if 2 * excess > each.requests * MICRO else 0
    return each.beside_nano * MICRO


def _worth(tokens: Tokens, price: Price) -> list[int]:
    return [count * nano for count, nano in zip(tokens, price.nano, strict=True)]
