"""Balances and the moves that prove them, as read from the ledger."""

from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg.rows import TupleRow, dict_row

from services.settlement import credit_store
from services.settlement.database import snapshot
from services.settlement.errors import NotFoundError
from services.settlement.lots import Credit
from services.settlement.refusals import utc_text
from services.settlement.statements import statements


def balances(connection: psycopg.Connection[TupleRow], holder: str) -> list[dict[str, Any]]:
    """Every bucket of an account; an account that never had a payment has none.

    `earmarked_nano` lies in the reserves of its runs and is in none of the other amounts. A bucket funded by a limit (a cost
    centre) has what its tightest limit leaves as available. `promotions` are what is left in the bucket of credit that expires,
    soonest first: `promotional_nano` in all.
    """
    if connection.execute(statements("credit.sql")["credit_of_holder"], {"holder": holder}).fetchone() is None:
        return _balances(connection, holder, {})
    with snapshot(connection):
        return _balances(connection, holder, credit_store.promotional(connection, holder))


def _balances(connection: psycopg.Connection[TupleRow], holder: str, credit: Mapping[str, Credit]) -> list[dict[str, Any]]:
    rows = connection.execute(statements("admin.sql")["balances"], {"holder": holder}).fetchall()
    return [
        {
            "bucket": bucket,
            "currency": currency,
            "posted_nano": posted,
            "held_nano": held,
            "available_nano": posted - held if funding == "prepaid" else max(limit_left or 0, 0),
            "overrun_nano": overrun,
            "earmarked_nano": earmarked,
            "funding": funding,
            "promotional_nano": credit[bucket].promotional_nano if bucket in credit else 0,
            "promotions": _promotions(credit[bucket]) if bucket in credit else [],
        }
        for bucket, currency, posted, held, overrun, funding, earmarked, limit_left in rows
    ]


def _promotions(credit: Credit) -> list[dict[str, Any]]:
    return [
        {"promotion_id": str(lot.id), "amount_nano": lot.left_nano, "expires_at": utc_text(lot.expires_at)}
        for lot in credit.lots
        if lot.left_nano > 0
    ]


def postings(connection: psycopg.Connection[TupleRow], holder: str, bucket: str, *, after: int, limit: int) -> dict[str, Any]:
    """A page of the bucket's transactions, oldest first: each `before` is the `after` of the one before it.

    `next` is what to give as `after` for the following page, None at the end. Raises NotFoundError for an unknown bucket.
    """
    sql = statements("admin.sql")
    row = connection.execute(sql["bucket_account"], {"holder": holder, "bucket": bucket}).fetchone()
    if row is None:
        raise NotFoundError(f"account {holder} has no bucket {bucket}", code="bucket_not_found")
    with connection.cursor(row_factory=dict_row) as cursor:
        found = cursor.execute(sql["moves"], {"account": row[0], "after": after, "limit": limit + 1}).fetchall()
    page = found[:limit]
    last = page[-1]["seq"] if len(found) > limit else None
    return {"object": "list", "data": page, "next_after": None if last is None else str(last), "next": last}


def pending(connection: psycopg.Connection[TupleRow], topic: str) -> dict[str, Any]:
    """What is under way: rows of outbox and ingress, open holds, and the ledger's offset in each partition."""
    sql = statements("admin.sql")
    rows = connection.execute(sql["pending"]).fetchone()
    holds = connection.execute(sql["open_holds"]).fetchone()
    offsets = connection.execute(statements("leases.sql")["offsets"], {"topic": topic}).fetchall()
    assert rows is not None
    assert holds is not None
    return {"outbox_pending": rows[0], "ingress_pending": rows[1], "open_holds": holds[0], "offsets": dict(offsets)}
