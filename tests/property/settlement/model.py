"""The ledger as a few dictionaries: what one account's buckets, limits and holds must be after each operation."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import floor
from uuid import UUID

from schemas.calls import HoldRequest
from schemas.money import TOKENS_PER_PRICE, Prices, Usage, charge_nano
from services.settlement.bounds import UnitPrice, amount_nano

BUCKETS = {"direct": ("credit", "USD"), "pooled": ("wallet", "CNY")}
DEFAULT, FLOOR, MOST_FREE = 4096, 256, 9_000_000_000_000
Limit = tuple[str, str, str]
"""kind, entity, currency; every window of a test falls into one day, so that all windows count the same."""


def cap_that_fits(request: HoldRequest, units: Sequence[UnitPrice], free_nano: int) -> int:
    """The cap of a request that brings none, by the words of the rule and in fractions."""
    most = min(DEFAULT, request.model_max_output_tokens)
    free = max(free_nano, 0)

    def bought(nano: int) -> int:
        return min(
            (
                floor((min(nano, MOST_FREE) - Fraction(request.input_tokens_bound * unit.input, TOKENS_PER_PRICE)) / token)
                for unit in units
                if (token := Fraction(unit.output * request.choices, TOKENS_PER_PRICE))
            ),
            default=most,
        )

    by_a_quarter = min(most, bought(free // 4))
    if by_a_quarter >= FLOOR:
        return by_a_quarter
    return max(min(most, FLOOR, bought(free)), min(most, 1))


@dataclass
class ModelHold:
    """One hold: what it is for, what it cost."""

    request: HoldRequest
    prices: dict[str, Prices]
    amount_nano: int
    cap: int
    state: str = "HELD"
    captured_nano: int = 0
    overrun_nano: int = 0
    progress: tuple[int, int] = (0, 0)

    @property
    def bucket(self) -> str:
        return BUCKETS[self.request.candidates[0].route_type][0]

    @property
    def counted_nano(self) -> int:
        """What it takes of every limit."""
        if self.state == "HELD":
            return self.amount_nano
        return self.captured_nano + self.overrun_nano


@dataclass
class Model:
    """One account."""

    prices: dict[tuple[str, str], Prices]
    posted: dict[str, int] = field(default_factory=lambda: {"credit": 0, "wallet": 0})
    owed: dict[str, int] = field(default_factory=lambda: {"credit": 0, "wallet": 0})
    limits: dict[Limit, dict[str, int | None]] = field(default_factory=dict)
    holds: dict[UUID, ModelHold] = field(default_factory=dict)
    settled: set[UUID] = field(default_factory=set)
    cases: int = 0

    def held(self, bucket: str) -> int:
        """What open holds take of a bucket."""
        return sum(hold.amount_nano for hold in self.holds.values() if hold.bucket == bucket and hold.state == "HELD")

    def top_up(self, bucket: str, nano: int) -> None:
        """A payment first pays what is owed."""
        repaid = min(self.owed[bucket], nano)
        self.owed[bucket] -= repaid
        self.posted[bucket] += nano - repaid

    def left(self, request: HoldRequest) -> int | None:
        """The least that any limit leaves to the request; None without limits."""
        key = request.key
        currency = BUCKETS[request.candidates[0].route_type][1]
        entities = (("account", request.account_id), ("project", key.project_id), ("key", key.key_id))
        found = []
        for kind, entity in entities:
            used = sum(hold.counted_nano for hold in self.holds.values() if self._counts(hold, kind, entity, currency))
            limits = self.limits.get((kind, entity, currency), {}).values()
            found += [limit - used for limit in limits if limit is not None]
        return min(found, default=None)

    def place(self, request: HoldRequest) -> tuple[str, int, int]:
        """(held or the refusal's code, amount, cap), and the hold if there is one."""
        route = request.candidates[0].route_type
        bucket = BUCKETS[route][0]
        listed = {each.model: self.prices[route, each.model] for each in request.candidates if each.route_type == route}
        units = [UnitPrice(each.dearest_input, each.output) for each in listed.values()]
        free, left = self.posted[bucket] - self.held(bucket), self.left(request)
        cap = self._cap(request, units, free if left is None else min(free, left))
        amount = amount_nano(units, request.input_tokens_bound, cap * request.choices)
        if self.owed[bucket] or amount > free:
            return "insufficient_balance", amount, cap
        if left is not None and amount > left:
            return "budget_exceeded", amount, cap
        self.holds[request.hold_id] = ModelHold(request=request, prices=listed, amount_nano=amount, cap=cap)
        return "held", amount, cap

    def capture(self, hold: ModelHold, model: str, usage: Usage) -> None:
        """Charge a hold: from it, then from what is available, then as a debt. An expired one was charged already."""
        if hold.state != "HELD":
            return
        charge = charge_nano(hold.prices[model], usage)
        hold.state = "CAPTURED"
        hold.captured_nano = min(charge, hold.amount_nano)
        excess = charge - hold.captured_nano
        hold.overrun_nano = excess
        self.cases += excess > 0
        available = self.posted[hold.bucket] - self.held(hold.bucket) - hold.captured_nano
        paid = min(excess, max(available, 0))
        self.posted[hold.bucket] -= hold.captured_nano + paid
        self.owed[hold.bucket] += excess - paid

    def expire(self, hold: ModelHold) -> None:
        """End a hold by time: the last progress at the cheapest price, at most the hold."""
        usage = Usage(input_tokens=hold.progress[0], output_tokens=hold.progress[1])
        costs = [charge_nano(prices, usage) for prices in hold.prices.values()]
        hold.state = "EXPIRED"
        hold.captured_nano = min(*costs, hold.amount_nano)
        self.posted[hold.bucket] -= hold.captured_nano
        self.cases += 1

    def _cap(self, request: HoldRequest, units: list[UnitPrice], free: int) -> int:
        if request.max_output_tokens is not None:
            return min(request.max_output_tokens, request.model_max_output_tokens)
        return cap_that_fits(request, units, free)

    def _counts(self, hold: ModelHold, kind: str, entity: str, currency: str) -> bool:
        request = hold.request
        mine = {"account": request.account_id, "project": request.key.project_id, "key": request.key.key_id}[kind]
        return mine == entity and BUCKETS[request.candidates[0].route_type][1] == currency
