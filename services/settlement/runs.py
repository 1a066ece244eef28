"""Runs: what never changes about one, what opening, extending and closing one does to its buckets. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from schemas.money import format_amount, parse_amount
from schemas.runs import LONGEST_RUN
from services.settlement.balances import BucketState
from services.settlement.errors import InvalidError, PaymentRequiredError
from services.settlement.pricebook import Bucket, PriceBook


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What a hold needs to know of its run. `reserve`: a reserve pays, not the customer's bucket under a limit."""

    id: str
    holder: str
    project_id: str
    key_id: str
    reserve: bool


@dataclass(frozen=True, slots=True)
class BudgetLine:
    """An amount of a run's budget in one bucket."""

    bucket: str
    currency: str
    nano: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Returned:
    """How a reserve is given back: what it pays of its own debt, what goes back, and what the bucket pays or owes for it."""

    repaid: int = 0
    returned: int = 0
    returned_repaid: int = 0
    paid_by_bucket: int = 0
    owed_by_bucket: int = 0


@dataclass(frozen=True, slots=True)
class LimitLeft:
    """What a limit of an account, project or key leaves of its present window."""

    kind: str
    entity: str
    currency: str
    window: str
    left_nano: int


def budget_lines(budget: Mapping[str, str], book: PriceBook) -> list[BudgetLine]:
    """The budget's amounts, by bucket name. Raises InvalidError for a bucket that no price book knows."""
    lines = []
    for name, amount in sorted(budget.items()):
        bucket: Bucket | None = book.bucket_named(name)
        if bucket is None:
            known = ", ".join(sorted({each.id for each in book.buckets.values()}))
            raise InvalidError(f"there is no bucket {name!r}; the buckets are {known}", code="unknown_bucket", param="budget")
        lines.append(BudgetLine(bucket.id, bucket.currency, parse_amount(amount)))
    return lines


def check_deadline(deadline_at: datetime, now: datetime) -> None:
    """Raise InvalidError for a deadline that is over or too far."""
    # A deadline is given to edge: of the shortest duration less is left when it arrives here.
    if not now < deadline_at <= now + LONGEST_RUN:
        raise InvalidError(
            f"the deadline of a run lies in the future, {LONGEST_RUN.days} days away at the most",
            code="invalid_deadline",
            param="deadline",
        )


def earmark(line: BudgetLine, bucket: BucketState | None) -> None:
    """Take the amount out of the bucket's free money. Raises PaymentRequiredError naming what was needed and left."""
    if bucket is not None and bucket.unlimited:
        raise InvalidError(
            f"the bucket {line.bucket} is funded by a limit, so that nothing can be set aside in it: open the run with "
            '"reserve": false',
            code="not_reservable",
            param="reserve",
        )
    free = 0 if bucket is None else bucket.free - bucket.overrun
    if bucket is None or bucket.overrun or line.nano > free:
        held = bucket.held if bucket else 0
        running = f", {format_amount(held)} {line.currency} is held by requests that are still running" if held else ""
        raise PaymentRequiredError(
            f"the bucket {line.bucket} cannot set this budget aside: {format_amount(line.nano)} {line.currency} needed, "
            f"{format_amount(free)} {line.currency} left{running}",
            code="insufficient_balance",
            param="budget",
            facts={**_facts("bucket", line.bucket, None, line, free), "held": format_amount(held)},
        )
    bucket.posted -= line.nano


def check_limits(lines: Sequence[BudgetLine], limits: Sequence[LimitLeft]) -> list[str]:
    """Compare a budget with the limits around it.

    A total limit that leaves less refuses it (PaymentRequiredError): no clock lifts that. A day's or month's limit that
    leaves less is returned as a warning, because the run may outlive it.
    """
    warnings = []
    for line in lines:
        for limit in limits:
            if limit.currency != line.currency or limit.left_nano >= line.nano:
                continue
            if limit.kind == "bucket" and limit.entity != line.bucket:
                continue
            left = f"{format_amount(limit.left_nano)} {limit.currency} left"
            sentence = (
                f"the {limit.window} limit of {limit.kind} {limit.entity} has less than this budget: "
                f"{format_amount(line.nano)} {line.currency} needed, {left}"
            )
            if limit.window == "total":
                facts = _facts(limit.kind, limit.entity, limit.window, line, limit.left_nano)
                raise PaymentRequiredError(sentence, code="budget_exceeded", param="budget", facts=facts)
            warnings.append(sentence)
    return warnings


def _facts(kind: str, entity: str, window: str | None, line: BudgetLine, left_nano: int) -> dict[str, Any]:
    """What a program needs to know of a budget that was refused."""
    return {
        "envelope": {"kind": kind, "id": entity, "window": window},
        "needed": format_amount(line.nano),
        "left": format_amount(left_nano),
        "currency": line.currency,
    }


def give_back(reserve: BucketState, bucket: BucketState) -> Returned:
    """End a reserve without open holds: pay what it owes, return the rest; what it cannot pay the bucket pays, or owes."""
    repaid = min(reserve.overrun, reserve.posted)
    debt = reserve.overrun - repaid
    returned = reserve.posted - repaid
    returned_repaid = min(bucket.overrun, returned)
    bucket.overrun -= returned_repaid
    bucket.posted += returned - returned_repaid
    paid = min(debt, max(bucket.free, 0))
    bucket.posted -= paid
    bucket.overrun += debt - paid
    reserve.posted = reserve.overrun = 0
    return Returned(
        repaid=repaid,
        returned=returned,
        returned_repaid=returned_repaid,
        paid_by_bucket=paid,
        owed_by_bucket=debt - paid,
    )


def rules_of(detail: Mapping[str, Any]) -> dict[str, Any]:
    """The rules as the run keeps them: every name, None where the key decides."""
    return {name: detail["rules"].get(name) for name in ("models", "route_types", "fallback", "cross_bucket", "max_attempts")}
