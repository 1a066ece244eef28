"""Whatever happens to a bucket: no credit is made or lost, none that is held expires, and a fold in parts is the whole fold."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from services.settlement.lots import Credit, LotMove, fold, lapsing

START = datetime(2026, 3, 1, tzinfo=UTC)
EMPTY = Credit(seq=0, posted_nano=0)
OPERATIONS = ["topup", "promotion", "capture", "chargeback", "run_open", "run_extend", "run_close", "sweep"]
STEPS = st.lists(st.tuples(st.sampled_from(OPERATIONS), st.integers(0, 40), st.integers(0, 3)), max_size=40)


class World:
    """A bucket with its runs, as the store would drive it. One day passes with each step."""

    def __init__(self) -> None:
        self.credit = EMPTY
        self.moves: list[LotMove] = []
        self.granted: dict[UUID, int] = {}
        self.expired: dict[UUID, int] = {}
        self.runs: dict[str, int] = {}
        self.day = 0

    @property
    def now(self) -> datetime:
        """The present day."""
        return START + timedelta(days=self.day)

    def step(self, operation: str, nano: int, which: int) -> None:
        """One operation, or none where it does not apply."""
        self.day += 1
        if operation == "sweep":
            self._sweep(nano, which)
        elif operation == "run_close":
            self._close(f"run{which}", nano)
        elif operation in {"topup", "promotion"}:
            self._add(operation, nano, which)
        elif operation.startswith("run_"):
            self._earmark(operation, f"run{which}", min(nano, self.credit.posted_nano))
        else:
            self._move(operation, -min(nano, self.credit.posted_nano), placed_days_ago=which)

    def _add(self, kind: str, nano: int, which: int) -> None:
        if kind == "topup":
            self._move(kind, nano)
        else:
            lot = UUID(int=self.day)
            self.granted[lot] = nano
            self._move(kind, nano, txn=lot, expires_at=self.now + timedelta(days=1 + 7 * which))

    def _earmark(self, kind: str, run: str, nano: int) -> None:
        self.runs[run] = self.runs.get(run, 0) + nano
        self._move(kind, -nano, run=run)

    def _close(self, run: str, nano: int) -> None:
        if run in self.runs:
            self._move("run_close", min(nano, self.runs.pop(run)), run=run)

    def _sweep(self, held: int, which: int) -> None:
        held = min(held, self.credit.posted_nano)
        holds = [(self.now - timedelta(days=which), held)] if held else []
        parts = lapsing(self.credit, holds, self.now)
        assert sum(nano for _, nano in parts) <= self.credit.posted_nano - held
        for lot, nano in parts:
            assert lot.expires_at <= self.now
            self.expired[lot.id] = self.expired.get(lot.id, 0) + nano
            self._move("credit_expiry", -nano, promotion=lot.id)
        assert lapsing(self.credit, holds, self.now) == []

    def _move(self, kind: str, delta: int, *, placed_days_ago: int = 0, **fields: Any) -> None:
        posted = self.credit.posted_nano
        move = LotMove(
            seq=len(self.moves) + 1,
            kind=kind,
            before_nano=posted,
            after_nano=posted + delta,
            **{"txn": UUID(int=10_000 + len(self.moves)), "credit_at": self.now - timedelta(days=placed_days_ago), **fields},
        )
        self.moves.append(move)
        self.credit = fold(self.credit, [move])
        self.check()

    def check(self) -> None:
        """What must always hold."""
        credit = self.credit
        assert 0 <= credit.promotional_nano <= credit.posted_nano
        assert list(credit.lots) == sorted(credit.lots, key=lambda lot: lot.order)
        parked: dict[UUID, int] = {}
        for run, shares in credit.earmarks.items():
            assert sum(nano for _, nano in shares) == self.runs[run]
            for source, nano in shares:
                if source is not None:
                    parked[source] = parked.get(source, 0) + nano
        for lot in credit.lots:
            assert lot.left_nano + parked.get(lot.id, 0) + self.expired.get(lot.id, 0) <= self.granted[lot.id]


@given(STEPS)
def test_no_credit_is_made_and_none_that_is_held_expires(steps: list[tuple[str, int, int]]) -> None:
    world = World()
    for step in steps:
        world.step(*step)
    assert sum(world.expired.values()) <= sum(world.granted.values())


@given(STEPS, st.integers(0, 40))
def test_a_fold_in_parts_is_the_whole_fold(steps: list[tuple[str, int, int]], cut: int) -> None:
    world = World()
    for step in steps:
        world.step(*step)
    before, after = world.moves[:cut], world.moves[cut:]
    assert fold(fold(EMPTY, before), after) == fold(EMPTY, world.moves) == world.credit


@given(STEPS)
def test_without_any_promotion_nothing_is_promotional(steps: list[tuple[str, int, int]]) -> None:
    world = World()
    for operation, nano, which in steps:
        world.step("topup" if operation == "promotion" else operation, nano, which)
    assert world.credit.lots == ()
    assert all(lot is None for shares in world.credit.earmarks.values() for lot, _ in shares)


@given(STEPS)
def test_all_that_is_over_and_free_expires_in_one_sweep(steps: list[tuple[str, int, int]]) -> None:
    world = World()
    for step in steps:
        world.step(*step)
    world.day += 1_000
    world.step("sweep", 0, 0)
    assert world.credit.promotional_nano == 0
