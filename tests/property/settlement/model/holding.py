"""Which holds pass, by the words of LEDGER.md: every envelope or none, and a refusal names the one that stopped it."""

from dataclasses import replace

from schemas.calls import HoldRequest
from tests.property.settlement.books import BUCKETS
from tests.property.settlement.model.account import Account
from tests.property.settlement.model.caps import amount_of, cap_that_fits
from tests.property.settlement.model.values import Answer, LimitKey, ModelHold

ABUNDANT = 9_000_000_000_000_000_000
SLOWEST_FIRST = {"total": 0, "run": 0, "month": 1, "day": 2}
"""How long a limit takes to lift: a decision, a month, a day."""


def place(account: Account, request: HoldRequest) -> Answer:
    """Decide one hold, and keep it where it passes."""
    early = _before_the_money(account, request)
    if early is not None:
        return early
    bucket, currency = BUCKETS[request.candidates[0].route_type]
    covered = account.covered_by(request, account.book)
    run = account.runs[request.run_id] if request.run_id else None
    reserve = run.id if run and run.reserve else ""
    limits = account.limits_and_holds(request.key, bucket, currency, request.run_id)
    pot = account.pots.get((bucket, reserve))
    free = 0 if pot is None else ABUNDANT if pot.by_limit else account.free(bucket, reserve)
    held = 0 if pot is None or pot.by_limit else account.held(bucket, reserve)
    unfunded = pot is not None and pot.by_limit and not any(key[0] == "bucket" for key, _, _ in limits)
    spendable = 0 if unfunded else min([free, *(left for _, left, _ in limits)])
    cap = request.max_output_tokens
    cap = (
        cap_that_fits(request, list(covered.values()), spendable) if cap is None else min(cap, request.model_max_output_tokens)
    )
    amount = amount_of(request, list(covered.values()), cap)
    if run and (run.state != "OPEN" or run.deadline_at <= account.clock.now):
        return Answer(hold_id=request.hold_id, code="run_closed", stopped_by=("run", run.id, None))
    owed = pot.owed if pot else 0
    short = _short_of_money(request, amount, free, owed, (bucket, reserve))
    stop = replace(short, held_nano=held) if short else _unfunded(request, amount, bucket, unfunded)
    stop = stop or _over_a_limit(request, amount, limits)
    if stop:
        fits = amount <= free + held and all(amount <= left + occupied for _, left, occupied in limits)
        return replace(stop, passing=fits and not owed and not unfunded)
    account.holds[request.hold_id] = ModelHold(
        request=request,
        bucket=bucket,
        currency=currency,
        version=len(account.books),
        covered=covered,
        amount_nano=amount,
        cap=cap,
        placed_at=account.clock.now,
        expires_at=max(request.deadline_at, account.clock.now),
        reserve=reserve,
    )
    return Answer(hold_id=request.hold_id, code="held", amount_nano=amount, cap=cap)


def _before_the_money(account: Account, request: HoldRequest) -> Answer | None:
    entities = (("account", request.account_id), ("project", request.key.project_id), ("key", request.key.key_id))
    for kind, entity in entities:
        if (kind, entity) in account.frozen:
            return Answer(hold_id=request.hold_id, code=f"{kind}_frozen", stopped_by=(kind, entity, None))
    if request.run_id is not None:
        run = account.runs.get(request.run_id)
        if run is None or run.key_id != request.key.key_id:
            code = "run_not_allowed" if run else "run_not_found"
            return Answer(hold_id=request.hold_id, code=code, stopped_by=("run", request.run_id, None))
    if not account.covered_by(request, account.book):
        return Answer(hold_id=request.hold_id, code="no_price")
    return None


def _short_of_money(request: HoldRequest, amount: int, free: int, owed: int, pot: tuple[str, str]) -> Answer | None:
    bucket, reserve = pot
    if not owed and amount <= free:
        return None
    if reserve:
        code, left, stopped_by = "budget_exceeded", free - owed, ("run", reserve, "run")
        return Answer(hold_id=request.hold_id, code=code, amount_nano=amount, left_nano=left, stopped_by=stopped_by)
    left, by = -owed if owed else free, ("bucket", bucket, None)
    return Answer(hold_id=request.hold_id, code="insufficient_balance", amount_nano=amount, left_nano=left, stopped_by=by)


def _unfunded(request: HoldRequest, amount: int, bucket: str, unfunded: bool) -> Answer | None:
    """A cost centre without a limit is stopped altogether."""
    if not unfunded:
        return None
    stopped_by = ("bucket", bucket, "total")
    return Answer(hold_id=request.hold_id, code="budget_exceeded", amount_nano=amount, left_nano=0, stopped_by=stopped_by)


def _over_a_limit(request: HoldRequest, amount: int, limits: list[tuple[LimitKey, int, int]]) -> Answer | None:
    """A limit that stays too small when open holds have ended is named before one that does not."""
    over = [
        (amount <= left + held, SLOWEST_FIRST[key[3]], place, key, left, held)
        for place, (key, left, held) in enumerate(limits)
        if amount > left
    ]
    if not over:
        return None
    _, _, _, (kind, entity, _, window), left, held = min(over)
    named = entity.partition("/")[0] if kind == "run" else entity
    answer = Answer(hold_id=request.hold_id, code="budget_exceeded", amount_nano=amount, left_nano=left, held_nano=held)
    return replace(answer, stopped_by=(kind, named, window))
