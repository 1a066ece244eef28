"""Promotional credit that expires: what nobody spent and nothing holds goes to breakage, once for each part of a lot."""

from datetime import datetime
from uuid import UUID

from schemas.corrections import CreditExpired, CreditExpiredData
from schemas.envelope import new_id
from schemas.money import format_amount
from services.settlement import accounts, credit_store, metrics
from services.settlement.correction_store import Connection, Correction, OwnBucket, lock_own, write
from services.settlement.lots import Lot, lapsing
from services.settlement.statements import statements


def due(connection: Connection, *, now: datetime, after: int, limit: int) -> list[int]:
    """Buckets with credit whose time is over, by ledger account, behind `after`."""
    asked = {"now": now, "after": after, "limit": limit}
    return [row[0] for row in connection.execute(statements("credit.sql")["due_credit"], asked).fetchall()]


def stale(connection: Connection, *, after: int, limit: int) -> list[int]:
    """Buckets with credit and moves that were not folded yet, by ledger account, behind `after`."""
    asked = {"after": after, "limit": limit}
    return [row[0] for row in connection.execute(statements("credit.sql")["stale_credit"], asked).fetchall()]


def expire_credit(connection: Connection, account: int, *, now: datetime) -> list[tuple[UUID, int]]:
    """Expire what may expire in one bucket now. Returns (promotion, nano) of each part.

    Doing it again takes nothing twice. What is held stays, and is looked at again when it has come free.
    """
    credit_store.catch_up(connection, account)
    with connection.transaction():
        row = connection.execute(statements("credit.sql")["bucket"], {"account": account}).fetchone()
        assert row is not None, "a bucket is never removed"
        own = lock_own(connection, *row)
        folded = credit_store.read(connection, account, lock=True)
        if folded is None:
            return []
        folded.add(credit_store.moves(connection, account, folded.credit.seq, limit=None))
        holds = credit_store.open_holds(connection, account) if own.buckets.state(account).held else []
        parts = lapsing(folded.credit, holds, now)
        before = credit_store.expired_so_far(connection, account)
        for lot_id, nano in folded.expired.items():
            before[lot_id] = before.get(lot_id, 0) + nano
        if parts:
            write(connection, own, [_correction(own, lot, nano, before.get(lot.id, 0)) for lot, nano in parts])
            folded.add(credit_store.moves(connection, account, folded.credit.seq, limit=None))
        credit_store.save(connection, folded)
    metrics.EXPIRED_CREDIT.inc(len(parts))
    return [(lot.id, nano) for lot, nano in parts]


def _correction(own: OwnBucket, lot: Lot, nano: int, expired_before: int) -> Correction:
    before, taken = own.buckets.take(own.account, nano)
    assert taken == nano, "what may expire is never held"
    move = own.moved(before)
    txn_id = new_id()
    data = CreditExpiredData(txn_id=txn_id, promotion_id=lot.id, amount_nano=nano, balance=move)
    event = CreditExpired(event_id=txn_id, account_id=own.holder, data=data)
    detail = {
        "promotion_id": str(lot.id),
        "bucket": own.bucket,
        "currency": own.currency,
        "amount": format_amount(nano),
        "amount_nano": nano,
    }
    return Correction(
        kind="credit_expiry",
        # A part of a lot is named by what had expired of it before: two sweepers cannot take the same part.
        idem_key=f"credit_expiry:{lot.id}:{expired_before}",
        request_hash=None,
        detail=detail,
        account=own.account,
        move=move,
        lines=[(own.account, accounts.breakage(own.currency), nano)],
        event=event,
    )
