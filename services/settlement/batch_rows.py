"""What a decided batch writes: rows and events, from the decisions alone. Pure."""

from collections.abc import Iterable, Sequence
from typing import Any

from schemas import topics
from services.settlement import outgoing
from services.settlement.accounts import LedgerAccount
from services.settlement.arrays import Column, bigints, integers, packed, uuids, words
from services.settlement.balances import Buckets, Capture
from services.settlement.batch import Decided
from services.settlement.entries import Outbox, Postings, Txns, Windows, post_overrun
from services.settlement.errors import PoisonError
from services.settlement.records import Incoming, Record
from services.settlement.settling import HoldRow, Settlement


def outcome_of(decided: Decided) -> str:
    """What the one event of a batch comes to, in a word."""
    if decided.settlements:
        return decided.settlements[0][1].kind
    if decided.cases:
        return decided.cases[0].kind
    return "repeat"


def ended_holds(settlements: Iterable[Settlement]) -> Iterable[HoldRow]:
    for settlement in settlements:
        if settlement.capture:
            yield settlement.capture.hold
        yield from settlement.releases


def possible_overruns(settlements: Iterable[Settlement]) -> dict[str, LedgerAccount]:
    """The accounts that a capture above its hold needs, whatever its bucket turns out to be able to pay."""
    found = Postings()
    for settlement in settlements:
        post_overrun(found, settlement, Capture(1, 0, 1, 0, 0, 0))
    return found.accounts


def hold_ends(settlements: Sequence[Settlement]) -> dict[str, Column]:
    ids, states, captured, windows = [], [], [], []
    for settlement in settlements:
        if settlement.capture:
            hold = settlement.capture.hold
            ids.append(hold.id)
            states.append("CAPTURED")
            captured.append(min(settlement.capture.nano, hold.amount_nano))
            windows.append(len(hold.windows))
        for hold in settlement.releases:
            ids.append(hold.id)
            states.append("RELEASED")
            captured.append(0)
            windows.append(len(hold.windows))
    return {"ids": uuids(ids), "states": words(states), "captured": bigints(captured), "windows": integers(windows)}


def add_txn(txns: Txns, incoming: Incoming, settlement: Settlement) -> None:
    event = incoming.event
    charge = settlement.capture or settlement.late
    detail: dict[str, Any] = {"event_id": event.event_id, "key_id": event.data.key.key_id}
    if charge:
        detail |= {
            "project_id": charge.hold.project_id,
            "attempt": charge.attempt.attempt,
            "route_type": charge.attempt.route_type,
            "model": charge.attempt.upstream_model,
            "charge_nano": charge.nano,
        }
    txns.add(
        settlement.txn_id,
        settlement.kind,
        f"settle:{event.request_id}",
        holder=event.account_id,
        detail=detail,
        request_hash=incoming.hash,
        price_version=charge.hold.price_version if charge else None,
        request_id=event.request_id,
        hold_id=charge.hold.id if charge else None,
    )


def receipt_rows(settlements: Sequence[tuple[Incoming, Settlement]]) -> dict[str, Column | bytes]:
    charges = [settlement.capture or settlement.late for _, settlement in settlements]
    captures = [settlement.capture for _, settlement in settlements]
    completed, starts, sizes = packed([incoming.record.value or b"" for incoming, _ in settlements])
    return {
        "request_ids": uuids([incoming.event.request_id for incoming, _ in settlements]),
        "holders": words([incoming.event.account_id for incoming, _ in settlements]),
        "statuses": words([settlement.status for _, settlement in settlements]),
        "txns": uuids([settlement.txn_id for _, settlement in settlements]),
        "holds": uuids([charge.hold.id if charge else None for charge in charges]),
        "charges": bigints([capture.nano if capture else 0 for capture in captures]),
        "overruns": bigints([max(capture.nano - capture.hold.amount_nano, 0) if capture else 0 for capture in captures]),
        "written_off": bigints([settlement.late_nano for _, settlement in settlements]),
        "completed": completed,
        "starts": starts,
        "sizes": sizes,
    }


def dead_letter_row(record: Record, error: PoisonError) -> dict[str, Any]:
    return {
        "topic": topics.ATTEMPTS,
        "partition": record.partition,
        "offset": record.offset,
        "reason": error.reason,
        "detail": error.detail,
        "key": record.key,
        "type": record.type.replace("\x00", ""),
        "payload": record.value,
    }


def captured_heads(settlements: Sequence[Settlement]) -> list[str]:
    """What each capture's event says without its balance, "" where nothing is captured: written before anybody waits."""
    return [
        outgoing.captured_head(each.event, charge, txn_id=each.txn_id) if (charge := each.capture) else ""
        for each in settlements
    ]


def end_settlement(
    settlement: Settlement, captured_head: str, buckets: Buckets, windows: Windows, outbox: Outbox
) -> Capture | None:
    """Move the balances of one settlement and write its events. Returns how its capture was paid."""
    event, key = settlement.event, settlement.event.account_id
    paid = None
    # What the request gives back comes first: a charge above its hold may take of it, and nothing is owed that could be paid.
    for hold in settlement.releases:
        buckets.release(hold.account, hold.amount_nano)
        windows.add(hold.windows, released=hold.amount_nano)
        outbox.add(topics.LEDGER, key, "Released", hold.id, outgoing.released(event, hold))
    if settlement.capture:
        hold, nano = settlement.capture.hold, settlement.capture.nano
        paid = buckets.capture(hold.account, hold.amount_nano, nano)
        windows.add(hold.windows, released=hold.amount_nano, spent=nano, overrun=max(nano - hold.amount_nano, 0))
        outbox.add(topics.LEDGER, key, "Captured", settlement.txn_id, outgoing.captured(captured_head, paid.move))
    if settlement.late:
        payload = outgoing.late_usage(
            event, settlement.late.attempt, settlement.late.hold, txn_id=settlement.txn_id, amount_nano=settlement.late_nano
        )
        outbox.add(topics.LEDGER, key, "LateUsage", settlement.txn_id, payload)
    return paid
