"""Runs by the words of LEDGER.md: earmarked, stopped, extended, closed at zero open holds, the rest returned."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from schemas.requests import KeyRef
from tests.property.settlement.model.account import Account, currency_of
from tests.property.settlement.model.values import ModelRun

LONGEST = timedelta(days=31)


def refusal_of_opening(
    account: Account, key: KeyRef, budget: Mapping[str, int], *, reserve: bool, deadline_at: datetime
) -> str | None:
    """Why a run cannot be opened; None where it can."""
    if not timedelta(seconds=1) <= deadline_at - account.clock.now <= LONGEST:
        return "invalid_deadline"
    return _refusal_of_budget(account, key, budget, reserve=reserve)


def refusal_of_extension(
    account: Account, run: ModelRun, key: KeyRef, budget: Mapping[str, int], deadline_at: datetime | None
) -> str | None:
    """Why a run cannot be extended; None where it can."""
    if deadline_at is not None and not timedelta(seconds=1) <= deadline_at - account.clock.now <= LONGEST:
        return "invalid_deadline"
    if run.key_id != key.key_id:
        return "run_not_allowed"
    if run.state != "OPEN":
        return "run_closed"
    if deadline_at is not None and deadline_at < run.deadline_at:
        return "invalid_deadline"
    return _refusal_of_budget(account, key, budget, reserve=run.reserve)


def open_run(account: Account, run: ModelRun) -> None:
    """Set the budget aside, or make it the run's limits."""
    account.runs[run.id] = run
    budget, run.budget = run.budget, {}
    add_budget(account, run, budget)


def add_budget(account: Account, run: ModelRun, budget: Mapping[str, int]) -> None:
    """More money for the run."""
    for bucket, nano in budget.items():
        run.budget[bucket] = run.budget.get(bucket, 0) + nano
        run.returned.setdefault(bucket, 0)
        if run.reserve:
            own = account.pot(bucket)
            own.purse.park(run.id, nano, account.clock.now, own.posted)
            own.move(-nano)
            account.pot(bucket, run.id).move(nano)
        else:
            account.set_limit(("run", f"{run.id}/{bucket}", currency_of(bucket), "run"), run.budget[bucket])


def close(account: Account, run: ModelRun) -> bool:
    """No new holds; and without an open one the end. Returns whether it ended by this."""
    if run.state == "CLOSED":
        return False
    run.state = "CLOSING"
    if any(hold.state == "HELD" and hold.request.run_id == run.id for hold in account.holds.values()):
        return False
    for bucket in run.budget:
        if run.reserve:
            run.returned[bucket] = _give_back(account, run.id, bucket)
    run.state = "CLOSED"
    return True


def close_due(account: Account) -> int:
    """Those past their deadline, and those that wait for their last hold. Returns how many ended."""
    due = [run for run in account.runs.values() if run.state == "CLOSING" or run.deadline_at < account.clock.now]
    return sum(close(account, run) for run in due)


def _refusal_of_budget(account: Account, key: KeyRef, budget: Mapping[str, int], *, reserve: bool) -> str | None:
    for bucket, nano in budget.items():
        for (_, _, _, window), left in account.limits_around(key, bucket, currency_of(bucket), None):
            if window == "total" and nano > left:
                return "budget_exceeded"
    for bucket, nano in sorted(budget.items()) if reserve else ():
        pot = account.pots.get((bucket, ""))
        if pot is not None and pot.by_limit:
            return "not_reservable"
        if pot is None or pot.owed or nano > account.free(bucket):
            return "insufficient_balance"
    return None


def _give_back(account: Account, run_id: str, bucket: str) -> int:
    """A debt of the reserve is paid by the reserve, then by the bucket; the rest pays what the bucket owes, and returns."""
    own, reserve, currency = account.pot(bucket), account.pot(bucket, run_id), currency_of(bucket)
    from_reserve = min(reserve.owed, reserve.posted)
    debt, rest = reserve.owed - from_reserve, reserve.posted - from_reserve
    account.book_debit("overrun_receivable", currency, -from_reserve)
    reserve.owed = 0
    reserve.move(-reserve.posted)
    kept = account.repay(bucket, currency, rest)
    from_bucket = min(debt, max(account.free(bucket) + kept, 0))
    account.book_debit("overrun_receivable", currency, -from_bucket)
    own.owed += debt - from_bucket
    own.purse.unpark(run_id, max(kept - from_bucket, 0))
    if from_bucket > kept:
        own.purse.spend(from_bucket - kept, account.clock.now, own.posted)
    own.move(kept - from_bucket)
    return rest
