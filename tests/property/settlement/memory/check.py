"""The invariants over tables in memory: each function returns what violates one; nothing means that it holds."""

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from tests.property.settlement.memory.tables import Tables

Broken = list[Any]
FACTS_OF_TXNS = {
    "late_usage": "LateUsage",
    "topup": "ToppedUp",
    "refund": "Refunded",
    "adjustment": "Adjusted",
    "chargeback": "ChargedBack",
    "reinstatement": "ChargebackReinstated",
    "promotion": "PromotionGranted",
    "credit_expiry": "CreditExpired",
    "run_open": "RunOpened",
    "run_extend": "RunExtended",
    "run_close": "RunClosed",
}
ENDS = {"CAPTURED": "Captured", "RELEASED": "Released", "EXPIRED": "Expired"}


def debits_are_credits(tables: Tables) -> Broken:
    """I1, and every line belongs to a transaction that there is."""
    total: dict[Any, int] = {}
    for txn, _, _, currency, side, amount in tables.postings:
        key = (txn, currency)
        total[key] = total.get(key, 0) + (amount if side == "debit" else -amount)
    return [key for key, difference in total.items() if difference or key[0] not in tables.txns]


def buckets_are_their_postings(tables: Tables) -> Broken:
    """I2: what is posted is the fold of the postings, and the end of one chain of moves."""
    folded: dict[int, int] = {}
    for _, _, account, _, side, amount in tables.postings:
        folded[account] = folded.get(account, 0) + (amount if side == "credit" else -amount)
    last: dict[int, int] = {}
    broken: Broken = []
    for move in tables.moves:
        if last.get(move.account, 0) != move.before:
            broken.append(move)
        last[move.account] = move.after
    for row in tables.buckets.values():
        if row.posted != folded.get(row.account, 0) or row.posted != last.get(row.account, 0):
            broken.append(row)
    return broken


def held_is_open_holds(tables: Tables) -> Broken:
    """I3: per bucket and per window."""
    by_bucket: dict[int | None, int] = {}
    by_window: dict[int, int] = {}
    for hold in tables.holds.values():
        if hold.state == "HELD":
            by_bucket[hold.account] = by_bucket.get(hold.account, 0) + hold.amount_nano
            for window in hold.windows:
                by_window[window] = by_window.get(window, 0) + hold.amount_nano
    broken: Broken = [row for row in tables.buckets.values() if row.held != by_bucket.get(row.account, 0)]
    return broken + [window for window in tables.windows.values() if window.held != by_window.get(window.id, 0)]


def no_bucket_is_negative(tables: Tables) -> Broken:
    """I4, and nobody owes less than nothing."""
    return [
        row
        for row in tables.buckets.values()
        if row.held < 0 or row.overrun < 0 or (row.funding == "prepaid" and row.posted - row.held < 0)
    ]


def limits_held_at_the_last_hold(tables: Tables) -> Broken:
    """I5"""
    return [
        window
        for window in tables.windows.values()
        if min(window.held, window.spent, window.overrun) < 0
        or (window.limit_at_last_hold is not None and window.held + window.spent - window.overrun > window.limit_at_last_hold)
    ]


def holds_end_once(tables: Tables) -> Broken:
    """I6: with one transaction where they were captured or expired."""
    ends = Counter([txn.hold_id for txn in tables.txns.values() if txn.kind in {"capture", "expire"}])
    return [hold for hold in tables.holds.values() if ends[hold.id] != (hold.state in {"CAPTURED", "EXPIRED"})]


def holds_come_out_even(tables: Tables) -> Broken:
    """I7: captured + released = held, and the receipt says what was charged."""
    settled = {row["charged_hold"]: row for row in tables.receipts.values() if row["status"] == "settled"}
    broken: Broken = []
    for hold in tables.holds.values():
        ended = 0 if hold.state in {"HELD", "REFUSED"} else hold.amount_nano
        if hold.captured_nano + hold.released_nano != ended or (hold.state == "REFUSED") != (hold.refusal is not None):
            broken.append(hold)
        if hold.state == "CAPTURED":
            row = settled.get(hold.id)
            if row is None or hold.captured_nano + row["overrun_nano"] != row["charge_nano"]:
                broken.append(hold)
    return broken


def events_are_facts(tables: Tables) -> Broken:
    """I9: what is published or waits is what has happened."""
    facts = Counter(["HoldRefused" if hold.state == "REFUSED" else "HoldPlaced" for hold in tables.holds.values()])
    facts.update([ENDS[hold.state] for hold in tables.holds.values() if hold.state in ENDS])
    facts.update([FACTS_OF_TXNS[txn.kind] for txn in tables.txns.values() if txn.kind in FACTS_OF_TXNS])
    facts["PriceBookPublished"] = len(tables.books)
    facts["LimitChanged"] = sum(row.version for key, row in tables.envelopes.items() if key[1] != "run")
    facts["CaseOpened"] = len(tables.cases)
    facts["CaseClosed"] = len(tables.closed_cases)
    facts["DeadLetter"] = len(tables.dead_letters)
    sent = tables.published + Counter([event_type for _, event_type in tables.outbox])
    sent.pop("ControlRecord", None)
    return [] if facts == sent else [facts - sent, sent - facts]


def offsets_are_contiguous(tables: Tables) -> Broken:
    """I10: and nothing was settled beyond them, nor twice from one place."""
    offset = tables.offset
    places = [place for _, place in tables.inbox.values()]
    broken: Broken = [] if offset.next == offset.first + offset.consumed else [offset]
    return broken + [place for place in places if place >= offset.next] + ([places] if len(set(places)) < len(places) else [])


def no_more_goes_back_than_came(tables: Tables) -> Broken:
    """I13: refunds by hold, chargebacks by payment, expired credit by promotion."""
    revenue = {account_id for account_id, account in tables.accounts.items() if account.kind == "revenue"}
    left: dict[UUID | None, int] = {}
    for txn_id, _, account, _, side, amount in tables.postings:
        if account in revenue and (txn := tables.txns[txn_id]).kind in {"capture", "expire", "refund"}:
            hold_id = txn.hold_id
            left[hold_id] = left.get(hold_id, 0) + (amount if side == "credit" else -amount)
    broken: Broken = [hold_id for hold_id, nano in left.items() if nano < 0]
    given: Counter[Any] = Counter()
    for txn in tables.txns.values():
        if txn.kind in {"topup", "promotion"}:
            given[txn.id] += txn.detail["amount_nano"]
        elif txn.kind == "credit_expiry":
            given[UUID(txn.detail["promotion_id"])] -= txn.detail["amount_nano"]
    for row in tables.disputes.values():
        given[row.payment] -= row.amount_nano - row.reinstated_nano
    return broken + [txn for txn, nano in given.items() if nano < 0]


ALWAYS: dict[str, Callable[[Tables], Broken]] = {
    "I1": debits_are_credits,
    "I2": buckets_are_their_postings,
    "I3": held_is_open_holds,
    "I4": no_bucket_is_negative,
    "I5": limits_held_at_the_last_hold,
    "I6": holds_end_once,
    "I7": holds_come_out_even,
    "I9": events_are_facts,
    "I10": offsets_are_contiguous,
    "I13": no_more_goes_back_than_came,
}


def no_hold_is_forgotten(tables: Tables, now: datetime, patience: timedelta) -> Broken:
    """I8: what is past its deadline has ended, and what expired has a case."""
    cases = {case.hold_id for case in tables.cases.values() if case.kind == "expired_hold"}
    return [
        hold
        for hold in tables.holds.values()
        if (hold.state == "HELD" and now - hold.expires_at > patience) or (hold.state == "EXPIRED" and hold.id not in cases)
    ]


def violations(tables: Tables, now: datetime, patience: timedelta) -> dict[str, Broken]:
    """Everything that is broken, by invariant."""
    found = {name: broken for name, check in ALWAYS.items() if (broken := check(tables))}
    if forgotten := no_hold_is_forgotten(tables, now, patience):
        found["I8"] = forgotten
    return found
