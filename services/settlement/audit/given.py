"""Events that are taken as given: what each one did to buckets, by its own words. Pure.

A kind of event that moves money beside requests needs one line in `GIVEN`; the fold knows nothing else of it.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from schemas.envelope import Event
from schemas.ledger import BalanceMove, RunClosedData, RunExtendedData, RunOpenedData


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """One bucket's change: `before` and `after` of what is posted, and by how much what is owed grew."""

    bucket: str
    run: str
    currency: str
    before: int
    after: int
    owed: int = 0


def _moved(move: BalanceMove, owed: int = 0) -> Given:
    return Given(
        bucket=move.bucket,
        run=move.run or "",
        currency=move.currency,
        before=move.before_nano,
        after=move.after_nano,
        owed=owed,
    )


def _paid_in(data: Any) -> Iterable[Given]:
    """Money into a bucket: what did not reach it has paid what was owed."""
    reached = data.balance.after_nano - data.balance.before_nano
    yield _moved(data.balance, owed=reached - data.amount_nano)


def _budgets(data: RunOpenedData | RunExtendedData) -> Iterable[Given]:
    """What was earmarked; nothing where the budget is a limit."""
    for budget in data.budgets:
        for move in (budget.balance, budget.reserve):
            if move is not None:
                yield _moved(move)


def _returns(data: RunClosedData) -> Iterable[Given]:
    """What a run gave back, and which debts went where."""
    for back in data.buckets:
        if back.balance is not None:
            yield _moved(back.balance, owed=back.owed_by_bucket_nano - back.returned_repaid_nano)
        if back.reserve is not None:
            yield _moved(back.reserve, owed=-(back.repaid_nano + back.paid_by_bucket_nano + back.owed_by_bucket_nano))


def _corrected(data: Any) -> Iterable[Given]:
    """A change that says itself how much of it paid what was owed, or is owed now."""
    yield _moved(data.balance, owed=getattr(data, "owed_nano", 0) - getattr(data, "repaid_nano", 0))


GIVEN: Mapping[str, Callable[[Any], Iterable[Given]]] = {
    "ToppedUp": _paid_in,
    "RunOpened": _budgets,
    "RunExtended": _budgets,
    "RunClosed": _returns,
    "Refunded": _corrected,
    "Adjusted": _corrected,
    "ChargedBack": _corrected,
    "ChargebackReinstated": _corrected,
    "PromotionGranted": _corrected,
    "CreditExpired": _corrected,
}


def given(event: Event) -> list[Given]:
    """The changes that an event tells; none for a type that moves no bucket."""
    data: Any = getattr(event, "data", None)
    of_type = GIVEN.get(event.type)
    return [] if of_type is None else list(of_type(data))
