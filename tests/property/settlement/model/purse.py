"""Which part of a bucket is promotional, by the words of ADR 0006: kept up to date as money moves, not folded afterwards."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

Shares = dict[UUID | None, int]
"""Nano by promotion; None is paid money."""


@dataclass
class Promotional:
    """What is left of one promotion in the bucket."""

    expires_at: datetime
    left: int


@dataclass
class Purse:
    """The promotions of one bucket, and what runs have set aside of them."""

    lots: dict[UUID, Promotional] = field(default_factory=dict)
    parked: dict[str, Shares] = field(default_factory=dict)

    def grant(self, promotion: UUID, nano: int, expires_at: datetime) -> None:
        """Credit that reached the bucket."""
        self.lots[promotion] = Promotional(expires_at, nano)

    def paid(self, posted: int) -> int:
        """What of so much is no promotion's."""
        return posted - sum(lot.left for lot in self.lots.values())

    def spend(self, nano: int, at: datetime, posted: int) -> Shares:
        """Take what expires soonest of what was valid then, then paid money, then what was over by then."""
        return self._take(self._order(at, self.lots.keys()), nano, posted)

    def take_back(self, nano: int, posted: int) -> None:
        """A payment that was taken back: paid money first, then what expires last."""
        self._take([None, *reversed(self._by_expiry(self.lots))], nano, posted)

    def park(self, run: str, nano: int, at: datetime, posted: int) -> None:
        """A run sets aside as spending does, and it is remembered from where."""
        kept = self.parked.setdefault(run, {})
        for lot, amount in self.spend(nano, at, posted).items():
            kept[lot] = kept.get(lot, 0) + amount

    def unpark(self, run: str, back: int) -> None:
        """The run has spent what expires soonest first, and paid money last: the rest goes to where it came from."""
        kept = self.parked.pop(run, {})
        spent = max(sum(kept.values()) - back, 0)
        promotions = self._by_expiry([lot for lot in kept if lot is not None])
        for lot in [*promotions, None]:
            had = kept.get(lot, 0)
            gone = min(had, spent)
            spent -= gone
            if lot is not None:
                self.lots[lot].left += had - gone

    def lapsing(self, now: datetime, posted: int, holds: Iterable[tuple[datetime, int]]) -> dict[UUID, int]:
        """What is over by now and would be left if every open hold were charged whole, by promotion."""
        after = Purse({lot: Promotional(each.expires_at, each.left) for lot, each in self.lots.items()})
        for placed_at, nano in sorted(holds):
            after.spend(nano, placed_at, posted)
            posted -= nano
        left = {lot: after.lots[lot] for lot in self._by_expiry(after.lots)}
        return {lot: each.left for lot, each in left.items() if each.expires_at <= now and each.left > 0}

    def _order(self, at: datetime, among: Iterable[UUID]) -> list[UUID | None]:
        lots = self._by_expiry(among)
        valid = [lot for lot in lots if self.lots[lot].expires_at > at]
        return [*valid, None, *(lot for lot in lots if self.lots[lot].expires_at <= at)]

    def _by_expiry(self, among: Iterable[UUID]) -> list[UUID]:
        return sorted(among, key=lambda lot: (self.lots[lot].expires_at, lot))

    def _take(self, order: Iterable[UUID | None], nano: int, posted: int) -> Shares:
        shares: Shares = {}
        paid = self.paid(posted)
        for lot in order:
            amount = min(paid if lot is None else self.lots[lot].left, nano)
            if amount > 0:
                nano -= amount
                shares[lot] = amount
                if lot is not None:
                    self.lots[lot].left -= amount
        return shares
