"""Payments, limits and cost centres over tables in memory."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from schemas import topics
from schemas.envelope import new_id
from services.settlement import accounts
from services.settlement.entries import Outbox, Postings, Txns
from services.settlement.errors import ConflictError
from services.settlement.money_in import LimitChange, TopUp, period_start
from tests.property.settlement.memory.rows import BucketRow, EnvelopeRow, StoredHold, WindowRow
from tests.property.settlement.memory.tables import Tables

ENDED = frozenset({"CAPTURED", "EXPIRED"})


def own_bucket(tables: Tables, holder: str, bucket: str, funding: str = "prepaid") -> BucketRow:
    """The customer's bucket, opened where it is new."""
    found = tables.books[-1].bucket_named(bucket)
    assert found is not None
    account = tables.account_id(accounts.customer_bucket(holder, bucket, found.currency))
    return tables.open_bucket(BucketRow(account, holder, bucket, found.currency, funding=funding))


def top_up(tables: Tables, now: datetime, asked: TopUp) -> dict[str, Any]:
    """Add a payment; the stored answer for one that was added before. Raises ConflictError."""
    known = tables.known(asked.idem_key, asked.request_hash)
    if known is not None:
        return known
    row = own_bucket(tables, asked.account_id, asked.bucket)
    if row.funding == "limit":
        raise ConflictError("the bucket is funded by a limit", code="bucket_funded_by_limit")
    buckets = tables.lock([row.account])
    before, repaid = buckets.top_up(row.account, asked.amount_nano)
    state = buckets.state(row.account)
    txn_id = new_id()
    txns, postings, outbox = Txns(), Postings(), Outbox()
    detail = {"amount_nano": asked.amount_nano, "repaid_nano": repaid, "txn_id": str(txn_id), "bucket": asked.bucket}
    txns.add(txn_id, "topup", asked.idem_key, holder=asked.account_id, detail=detail, request_hash=asked.request_hash.hex())
    clearing, receivable = accounts.top_up_clearing(asked.provider, row.currency), accounts.overrun_receivable(row.currency)
    postings.move(txn_id, clearing, row.account, row.currency, asked.amount_nano)
    postings.move(txn_id, row.account, receivable, row.currency, repaid)
    outbox.add(topics.LEDGER, asked.account_id, "ToppedUp", txn_id, "{}")
    moves = [(txn_id, row.account, before, state.posted, state.held)]
    tables.write(now, txns=txns, postings=postings, outbox=outbox, moves=moves, buckets=buckets)
    return detail


def set_limit(tables: Tables, now: datetime, asked: LimitChange) -> None:
    """Set, change or remove a limit; a new one counts its period's past."""
    key = (asked.account_id, asked.kind, asked.id, asked.currency, asked.window)
    tables.outbox.append((topics.LEDGER, "LimitChanged"))
    tables.outbox.append((topics.CONTROL, "ControlRecord"))
    envelope = tables.envelopes.get(key)
    if envelope is not None:
        envelope.limit_nano = asked.limit_nano
        envelope.version += 1
        return
    envelope = tables.envelopes[key] = EnvelopeRow(len(tables.envelopes) + 1, asked.limit_nano)
    start = period_start(asked.window, now)
    past = [hold for hold in tables.holds.values() if hold.placed_at >= start and _concerns(hold, asked)]
    count_past(tables, tables.window(envelope, start), past)


def count_past(tables: Tables, window: WindowRow, holds: Iterable[StoredHold]) -> None:
    """Count what was spent and is held before the limit was set."""
    for hold in holds:
        if hold.state == "HELD":
            window.held += hold.amount_nano
        if hold.state in ENDED:
            overrun = overrun_of(tables, hold)
            refunded, beyond = refunded_of(tables, hold)
            window.spent += hold.captured_nano + overrun - refunded
            window.overrun += overrun - beyond
        if hold.state == "HELD":
            hold.windows.append(window.id)


def open_cost_centre(tables: Tables, holder: str, bucket: str) -> None:
    """A bucket that a limit funds. Raises ConflictError where payments do."""
    if own_bucket(tables, holder, bucket, "limit").funding != "limit":
        raise ConflictError("the bucket is funded by payments", code="bucket_is_prepaid")


def _concerns(hold: StoredHold, asked: LimitChange) -> bool:
    mine = {"account": asked.account_id, "bucket": hold.bucket, "project": hold.project_id, "key": hold.key_id}
    return hold.holder == asked.account_id and hold.currency == asked.currency and mine[asked.kind] == asked.id


def overrun_of(tables: Tables, hold: StoredHold) -> int:
    """What was charged beyond a hold."""
    row = tables.receipts.get(hold.request_id)
    settled = row is not None and row["charged_hold"] == hold.id and row["status"] == "settled"
    return int(row["overrun_nano"]) if row and settled else 0


def refunded_of(tables: Tables, hold: StoredHold) -> tuple[int, int]:
    """What was given back of a hold's charge, and what of that was beyond the hold."""
    refunds = [txn.detail for txn in tables.txns.values() if txn.kind == "refund" and txn.hold_id == hold.id]
    return sum(each["amount_nano"] for each in refunds), sum(each["beyond_hold_nano"] for each in refunds)
