"""What is read of the tables in memory: for customers and operators, and to compare with the model."""

from collections import Counter
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from services.settlement.errors import NotFoundError
from services.settlement.money_in import period_start
from services.settlement.receipts import receipt
from tests.property.settlement.backend import State
from tests.property.settlement.memory.rows import StoredHold
from tests.property.settlement.memory.settling import book_of
from tests.property.settlement.memory.tables import Tables

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def balances(tables: Tables, now: datetime, holder: str) -> list[dict[str, Any]]:
    """Balances as the account sees them."""
    rows = []
    for row in tables.buckets.values():
        if row.holder != holder or row.run:
            continue
        parked = sum(each.posted for each in tables.buckets.values() if each.run and each.bucket == row.bucket)
        rows.append(
            {
                "bucket": row.bucket,
                "posted_nano": row.posted,
                "held_nano": row.held,
                "overrun_nano": row.overrun,
                "earmarked_nano": parked,
                "available_nano": row.posted - row.held if row.funding == "prepaid" else _limit_left(tables, now, row.bucket),
            }
        )
    return rows


def moves(tables: Tables, holder: str, bucket: str, page: int) -> list[tuple[int, int]]:
    """Before and after of every move of a bucket."""
    row = tables.bucket(holder, bucket)
    assert row is not None
    found = [(move.before, move.after) for move in tables.moves if move.account == row.account]
    return [move for start in range(0, len(found), page) for move in found[start : start + page]]


def limits(tables: Tables, holder: str) -> list[dict[str, Any]]:
    """Limits of an account, without those of runs."""
    return [
        {"kind": kind, "id": entity, "currency": currency, "window": window, "limit_nano": envelope.limit_nano}
        for (owner, kind, entity, currency, window), envelope in tables.envelopes.items()
        if owner == holder and kind != "run"
    ]


def read_receipt(tables: Tables, holder: str, request_id: UUID) -> dict[str, Any]:
    """A request's receipt, by settlement's own words. Raises NotFoundError."""
    holds = [hold for hold in tables.holds.values() if hold.request_id == request_id and hold.holder == holder]
    settled = tables.receipts.get(request_id)
    settled = settled if settled and settled["holder"] == holder else None
    if not holds and settled is None:
        raise NotFoundError("no such request of this account", code="receipt_not_found")
    by_txn = {move.txn: (move.before, move.after) for move in tables.moves}
    if settled is not None:
        before, after = by_txn.get(settled["txn"], (None, None))
        settled = {**settled, "before_nano": before, "after_nano": after}
    expired = [hold for hold in holds if hold.state == "EXPIRED"]
    return receipt(
        account_id=holder,
        request_id=request_id,
        holds=[_columns(hold) for hold in holds],
        settled=settled,
        expiry_moves={hold.id: by_txn[tables.idem_keys[f"expire:{hold.id}"]] for hold in expired},
        cases=[{"kind": case.kind, "detail": case.detail} for case in tables.cases.values() if case.request_id == request_id],
        book_of=lambda version: book_of(tables, version),
    )


def state(tables: Tables, holder: str) -> State:
    """Everything that the model knows too."""
    envelopes = {envelope.id: key for key, envelope in tables.envelopes.items()}
    booked: dict[tuple[str, str], int] = {}
    for _, _, account, currency, side, amount in tables.postings:
        if account not in tables.buckets:
            key = (tables.accounts[account].kind, currency)
            booked[key] = booked.get(key, 0) + (amount if side == "debit" else -amount)
    return State(
        pots={
            (row.bucket, row.run): (row.posted, row.held, row.overrun)
            for row in tables.buckets.values()
            if row.holder == holder
        },
        holds={
            hold.id: (hold.state, hold.amount_nano, hold.captured_nano, hold.released_nano)
            for hold in tables.holds.values()
            if hold.holder == holder and hold.state != "REFUSED"
        },
        windows={
            (*envelopes[window.envelope][1:], window.start): (window.held, window.spent, window.overrun)
            for window in tables.windows.values()
        },
        receipts={
            request_id: (row["status"], row["charge_nano"], row["overrun_nano"], row["written_off_nano"])
            for request_id, row in tables.receipts.items()
        },
        cases=open_cases(tables),
        dead_letters=len(tables.dead_letters),
        booked={key: nano for key, nano in booked.items() if nano},
        runs={
            run.id: (run.state, {bucket: (nano, run.returned[bucket]) for bucket, nano in run.budget.items()})
            for run in tables.runs.values()
        },
    )


def open_cases(tables: Tables) -> Counter[str]:
    """Cases that nobody has closed, by kind."""
    return Counter([case.kind for case in tables.cases.values() if case.id not in tables.closed_cases])


def _limit_left(tables: Tables, now: datetime, bucket: str) -> int:
    lefts = []
    for (_, kind, entity, _, window), envelope in tables.envelopes.items():
        if kind == "bucket" and entity == bucket and envelope.limit_nano is not None:
            window_id = tables.window_ids.get((envelope.id, period_start(window, now)))
            row = tables.windows[window_id] if window_id else None
            lefts.append(envelope.limit_nano - (row.held + row.spent if row else 0))
    return max(min(lefts, default=0), 0)


def _columns(hold: StoredHold) -> dict[str, Any]:
    return {name: getattr(hold, name) for name in COLUMNS}


COLUMNS = [
    "id",
    "project_id",
    "key_id",
    "bucket",
    "currency",
    "state",
    "amount_nano",
    "captured_nano",
    "released_nano",
    "price_version",
    "output_cap",
    "placed_at",
    "ended_at",
    "progress_input",
    "progress_output",
    "detail",
    "refusal",
    "run",
    "reserved",
]
