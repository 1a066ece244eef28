"""Which promotional credit is spent, and what of it may expire."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from services.settlement.lots import Credit, LotMove, fold, lapsing

START = datetime(2026, 3, 1, tzinfo=UTC)
SOON, LATE = UUID(int=1), UUID(int=2)


def at(day: float) -> datetime:
    """An instant, in days from the start."""
    return START + timedelta(days=day)


class Story:
    """A bucket's moves, told one after the other."""

    def __init__(self) -> None:
        self.moves: list[LotMove] = []
        self.posted = 0

    def then(self, kind: str, delta: int, *, day: float = 0, **fields: Any) -> "Story":
        """One more move."""
        made: dict[str, Any] = {"txn": UUID(int=1000 + len(self.moves)), "credit_at": at(day)}
        move = LotMove(
            seq=len(self.moves) + 1,
            kind=kind,
            before_nano=self.posted,
            after_nano=self.posted + delta,
            **{**made, **fields},
        )
        self.moves.append(move)
        self.posted += delta
        return self

    def promotion(self, lot: UUID, nano: int, expires: float, *, day: float = 0) -> "Story":
        """Credit that expires on a day."""
        return self.then("promotion", nano, day=day, txn=lot, expires_at=at(expires))

    @property
    def credit(self) -> Credit:
        """The bucket at the end."""
        return fold(Credit(seq=0, posted_nano=0), self.moves)

    @property
    def left(self) -> dict[UUID, int]:
        """What is left of each lot."""
        return {lot.id: lot.left_nano for lot in self.credit.lots}


def funded() -> Story:
    """50 paid, 20 that expire on day 10 and 30 that expire on day 5."""
    return Story().then("topup", 50).promotion(LATE, 20, 10).promotion(SOON, 30, 5)


def test_spending_takes_the_credit_that_expires_soonest_first() -> None:
    assert funded().then("capture", -10).left == {SOON: 20, LATE: 20}
    assert funded().then("capture", -35).left == {LATE: 15}
    assert funded().then("capture", -60).left == {}


def test_credit_that_was_over_when_the_hold_was_placed_is_spent_last() -> None:
    assert funded().then("capture", -10, day=6).left == {SOON: 30, LATE: 10}
    assert funded().then("capture", -69, day=6).left == {SOON: 30}
    assert funded().then("capture", -75, day=6).left == {SOON: 25}


def test_credit_counts_until_the_instant_at_which_it_expires() -> None:
    assert funded().then("capture", -10, day=5).left == {SOON: 30, LATE: 10}
    assert funded().then("capture", -10, day=4.999).left == {SOON: 20, LATE: 20}


@pytest.mark.parametrize("kind", ["topup", "refund", "adjustment", "reinstatement"])
def test_what_else_comes_in_is_paid_money(kind: str) -> None:
    assert funded().then(kind, 5).credit.promotional_nano == 50


def test_a_chargeback_takes_paid_money_first_and_the_credit_that_lasts_longest_then() -> None:
    assert funded().then("chargeback", -50).left == {SOON: 30, LATE: 20}
    assert funded().then("chargeback", -65).left == {SOON: 30, LATE: 5}
    assert funded().then("chargeback", -80).left == {SOON: 20}


def test_an_expiry_takes_from_its_own_promotion() -> None:
    assert funded().then("credit_expiry", -20, promotion=LATE).left == {SOON: 30}
    assert funded().then("credit_expiry", -12, promotion=SOON).left == {SOON: 18, LATE: 20}


def test_an_earmark_is_no_spending_and_what_comes_back_goes_to_the_lots_it_came_from() -> None:
    story = funded().then("run_open", -60, run="r")
    assert story.left == {SOON: 0, LATE: 0}
    assert story.credit.earmarks == {"r": ((SOON, 30), (LATE, 20), (None, 10))}
    assert story.then("run_close", 25, run="r").left == {LATE: 15}
    assert story.credit.earmarks == {}


@pytest.mark.parametrize(("back", "left"), [(60, {SOON: 30, LATE: 20}), (10, {}), (31, {SOON: 1, LATE: 20}), (0, {})])
def test_a_run_has_spent_what_expires_soonest_first(back: int, left: dict[UUID, int]) -> None:
    story = funded().then("run_open", -50, run="r").then("run_extend", -10, run="r").then("run_close", back, run="r")
    assert story.left == left


def test_runs_do_not_touch_each_others_earmarks() -> None:
    story = funded().then("run_open", -20, run="one").then("run_open", -20, run="two")
    assert story.credit.earmarks == {"one": ((SOON, 20),), "two": ((SOON, 10), (LATE, 10))}
    assert story.then("run_close", 20, run="one").left == {SOON: 20, LATE: 10}
    assert story.then("run_close", 10, run="two").left == {SOON: 20, LATE: 20}


def test_a_run_that_leaves_a_debt_is_paid_by_the_bucket_as_spending_is() -> None:
    assert funded().then("run_open", -30, run="r").then("run_close", -5, run="r").left == {LATE: 15}


def test_more_than_the_run_was_known_to_have_is_paid_money() -> None:
    assert funded().then("run_open", -10, run="r").then("run_close", 15, run="r").left == {SOON: 30, LATE: 20}


def test_credit_that_was_spent_whole_is_forgotten() -> None:
    credit = funded().then("capture", -50).credit
    assert (credit.lots, credit.promotional_nano, credit.posted_nano) == ((), 0, 50)


def test_a_promotion_that_paid_a_debt_alone_leaves_no_credit() -> None:
    assert Story().promotion(SOON, 0, 5).left == {}


def test_what_is_over_expires_and_what_is_not_does_not() -> None:
    lapsed = lapsing(funded().credit, [], at(6))
    assert [(lot.id, nano) for lot, nano in lapsed] == [(SOON, 30)]
    assert lapsing(funded().credit, [], at(4)) == []
    assert [nano for _, nano in lapsing(funded().credit, [], at(11))] == [30, 20]


def test_what_was_held_in_time_does_not_expire() -> None:
    assert [nano for _, nano in lapsing(funded().credit, [(at(4), 10)], at(6))] == [20]
    assert lapsing(funded().credit, [(at(4), 30)], at(6)) == []
    assert [nano for _, nano in lapsing(funded().credit, [(at(1), 10), (at(2), 15)], at(6))] == [5]


def test_a_hold_that_came_too_late_is_paid_from_other_money_as_long_as_there_is_any() -> None:
    assert [nano for _, nano in lapsing(funded().credit, [(at(5.5), 70)], at(6))] == [30]
    assert [nano for _, nano in lapsing(funded().credit, [(at(5.5), 85)], at(6))] == [15]


def test_several_late_holds_share_the_paid_money() -> None:
    # 20 of the lot that lasts and 50 paid: the first hold takes 20 and 10, the second 30, and 10 of the third are left to pay.
    holds = [(at(5.1), 30), (at(5.2), 30), (at(5.3), 15)]
    assert [nano for _, nano in lapsing(funded().credit, holds, at(6))] == [25]
    assert [nano for _, nano in lapsing(funded().credit, list(reversed(holds)), at(6))] == [25]


def test_credit_expires_at_its_instant_to_the_last_unit() -> None:
    assert lapsing(funded().credit, [], at(4.999)) == []
    assert [nano for _, nano in lapsing(funded().credit, [], at(5))] == [30]
    assert [nano for _, nano in lapsing(funded().then("capture", -29).credit, [], at(5))] == [1]
    assert lapsing(funded().then("capture", -30).credit, [], at(5)) == []


def test_a_fold_ends_where_its_last_move_does() -> None:
    story = funded().then("capture", -10)
    assert (story.credit.seq, story.credit.posted_nano) == (4, 90)
    with pytest.raises(ValueError, match="move 4 does not follow move 4"):
        fold(story.credit, [LotMove(seq=4, txn=SOON, kind="topup", before_nano=90, after_nano=91, credit_at=at(0))])


def test_moves_must_follow_each_other() -> None:
    moves = funded().moves
    with pytest.raises(ValueError, match="does not follow"):
        fold(Credit(seq=0, posted_nano=0), moves[1:])
    with pytest.raises(ValueError, match="does not follow"):
        fold(funded().credit, moves[2:])
    for wrong in (
        Story().then("topup", 5).then("capture", -6),
        funded().then("credit_expiry", -31, promotion=SOON),
        funded().then("credit_expiry", -1, promotion=UUID(int=9)),
        Story().then("promotion", 5),
    ):
        with pytest.raises(ValueError, match=r"more was|when it expires"):
            assert wrong.credit
