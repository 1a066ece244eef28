"""Promotional credit within a bucket: which credit was spent, and what of it may expire. Pure: a fold over the bucket's moves.

A bucket holds one sum. What of it is promotional follows from its moves alone (ADR 0006):
- a promotion adds a lot, which keeps its own expiry;
- spending takes from the lot that expires soonest, then from paid money. A lot counts as long as it had not expired when the
  hold was placed: what was held in time is spent in time. A lot that has lapsed and is still there is used last;
- a chargeback takes paid money first: it was the payment that was taken back;
- an earmark of a run takes as spending does and remembers from where; what the run gives back goes back to there, paid money
  first. It is no spending: a lot that lapsed meanwhile expires as soon as it is back;
- everything else that comes in is paid money.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

EARMARKING = frozenset({"run_open", "run_extend"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Lot:
    """What is left in the bucket of one promotion."""

    id: UUID
    expires_at: datetime
    left_nano: int

    @property
    def order(self) -> tuple[datetime, UUID]:
        """Soonest to expire first."""
        return self.expires_at, self.id


@dataclass(frozen=True, slots=True, kw_only=True)
class LotMove:
    """One transaction of the bucket. `credit_at`: when the credit that it spends must have been valid.

    `run` is set for earmarks, `expires_at` for a promotion, `promotion` for an expiry.
    """

    seq: int
    txn: UUID
    kind: str
    before_nano: int
    after_nano: int
    credit_at: datetime
    run: str = ""
    promotion: UUID | None = None
    expires_at: datetime | None = None

    @property
    def delta_nano(self) -> int:
        """What the bucket gained, or lost where it is below zero."""
        return self.after_nano - self.before_nano


Share = tuple[UUID | None, int]
"""A lot, or None for paid money, and how much of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credit:
    """A bucket after its move `seq`. Lots are in the order in which they expire, those at zero only while a run has of them."""

    seq: int
    posted_nano: int
    lots: tuple[Lot, ...] = ()
    earmarks: Mapping[str, tuple[Share, ...]] = field(default_factory=dict)

    @property
    def promotional_nano(self) -> int:
        """How much of the bucket is promotional."""
        return sum(lot.left_nano for lot in self.lots)


def fold(credit: Credit, moves: Iterable[LotMove]) -> Credit:
    """The bucket after the moves, which follow `credit.seq` in their order. Raises ValueError where one does not fit."""
    for move in moves:
        if move.seq <= credit.seq or move.before_nano != credit.posted_nano:
            raise ValueError(f"move {move.seq} does not follow move {credit.seq}")
        credit = replace(_moved(credit, move), seq=move.seq, posted_nano=move.after_nano)
    return credit


def lapsing(credit: Credit, holds: Iterable[tuple[datetime, int]], now: datetime) -> list[tuple[Lot, int]]:
    """What may expire now, by lot: what would be left of lapsed lots if every open hold (placed at, nano) were captured whole.

    What is held is never among it, so that it is never more than what is available.
    """
    lots, paid = credit.lots, credit.posted_nano - credit.promotional_nano
    for placed_at, nano in sorted(holds):
        lots, shares = _spent(lots, paid, nano, placed_at)
        paid -= sum(amount for lot, amount in shares if lot is None)
    left = {lot.id: lot.left_nano for lot in lots}
    return [(lot, left[lot.id]) for lot in credit.lots if lot.expires_at <= now and left[lot.id] > 0]


def _moved(credit: Credit, move: LotMove) -> Credit:
    nano = abs(move.delta_nano)
    paid = credit.posted_nano - credit.promotional_nano
    if move.kind == "run_close":
        credit = _given_back(credit, move.run, max(move.delta_nano, 0))
        if move.delta_nano >= 0:
            return credit
    if move.delta_nano >= 0:
        return _added(credit, move) if move.kind == "promotion" and nano else credit
    if move.kind == "credit_expiry":
        shares: Sequence[Share] = [(move.promotion, nano)]
        return _kept(credit, _without(credit.lots, shares), credit.earmarks)
    if move.kind == "chargeback":
        lots, _ = _taken([(None, paid), *((lot.id, lot.left_nano) for lot in reversed(credit.lots))], credit.lots, nano)
        return _kept(credit, lots, credit.earmarks)
    lots, shares = _spent(credit.lots, paid, nano, move.credit_at)
    earmarks = _earmarked(credit.earmarks, move.run, shares) if move.kind in EARMARKING else credit.earmarks
    return _kept(credit, lots, earmarks)


def _added(credit: Credit, move: LotMove) -> Credit:
    if move.expires_at is None:
        raise ValueError(f"promotion {move.txn} does not say when it expires")
    lot = Lot(id=move.txn, expires_at=move.expires_at, left_nano=move.delta_nano)
    return replace(credit, lots=tuple(sorted([*credit.lots, lot], key=lambda each: each.order)))


def _spent(lots: tuple[Lot, ...], paid_nano: int, nano: int, at: datetime) -> tuple[tuple[Lot, ...], list[Share]]:
    """The lots after spending, and from where it came: valid lots, paid money, lapsed lots."""
    valid = [(lot.id, lot.left_nano) for lot in lots if lot.expires_at > at]
    lapsed = [(lot.id, lot.left_nano) for lot in lots if lot.expires_at <= at]
    return _taken([*valid, (None, paid_nano), *lapsed], lots, nano)


def _taken(sources: Sequence[Share], lots: tuple[Lot, ...], nano: int) -> tuple[tuple[Lot, ...], list[Share]]:
    shares = list(_first(sources, nano))
    if sum(amount for _, amount in shares) != nano:
        raise ValueError("more was spent than the bucket has")
    return _without(lots, shares), shares


def _first(sources: Iterable[Share], nano: int) -> Iterator[Share]:
    """The first `nano` of the sources."""
    for source, has in sources:
        amount = min(has, nano)
        if amount > 0:
            yield source, amount
            nano -= amount


def _without(lots: tuple[Lot, ...], shares: Iterable[Share]) -> tuple[Lot, ...]:
    gone = {lot: amount for lot, amount in shares if lot is not None}
    left = tuple(replace(lot, left_nano=lot.left_nano - gone.get(lot.id, 0)) for lot in lots)
    if any(lot.left_nano < 0 for lot in left) or not gone.keys() <= {lot.id for lot in lots}:
        raise ValueError("more was taken from a promotion than is left of it")
    return left


def _earmarked(earmarks: Mapping[str, tuple[Share, ...]], run: str, shares: Iterable[Share]) -> dict[str, tuple[Share, ...]]:
    total: dict[UUID | None, int] = dict(earmarks.get(run, ()))
    for lot, amount in shares:
        total[lot] = total.get(lot, 0) + amount
    return {**earmarks, run: tuple(total.items())}


def _given_back(credit: Credit, run: str, nano: int) -> Credit:
    """What the run has not spent goes back to its lots: it spent those that expire soonest first, and paid money last."""
    parked = dict(credit.earmarks.get(run, ()))
    spent = max(sum(parked.values()) - nano, 0)
    order: list[Share] = [(lot.id, parked[lot.id]) for lot in credit.lots if lot.id in parked]
    for lot, amount in _first([*order, (None, parked.get(None, 0))], spent):
        parked[lot] -= amount
    lots = tuple(replace(lot, left_nano=lot.left_nano + parked.get(lot.id, 0)) for lot in credit.lots)
    return _kept(credit, lots, {name: shares for name, shares in credit.earmarks.items() if name != run})


def _kept(credit: Credit, lots: tuple[Lot, ...], earmarks: Mapping[str, tuple[Share, ...]]) -> Credit:
    """Without the lots of which nothing is left anywhere."""
    parked = {lot for shares in earmarks.values() for lot, _ in shares}
    kept = tuple(lot for lot in lots if lot.left_nano > 0 or lot.id in parked)
    return replace(credit, lots=kept, earmarks=earmarks)
