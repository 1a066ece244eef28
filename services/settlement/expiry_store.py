"""Expires holds in Postgres: the same compare-and-set as the worker's, so that exactly one of them ends a hold."""

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import TupleRow, dict_row

from schemas import topics
from services.settlement import accounts, outgoing
from services.settlement.arrays import Column, bigints, integers, plain, uuids, words
from services.settlement.balance_writes import Move, write_balances
from services.settlement.balances import Buckets
from services.settlement.batch_decisions import HOLD_COLUMNS
from services.settlement.entries import Outbox, Postings, Txns, Windows, case_parameters
from services.settlement.expiry import Expiry, expire
from services.settlement.ledger_accounts import AccountIds
from services.settlement.pricebook import PriceBook
from services.settlement.settling import HoldRow
from services.settlement.statements import statements

BookOf = Callable[[int], PriceBook | None]


def overdue(connection: psycopg.Connection[TupleRow], *, grace_s: float, limit: int) -> list[tuple[UUID, str]]:
    """Open holds (id, account) past their deadline and the grace, the oldest first."""
    parameters = {"grace_s": grace_s, "limit": limit}
    return [(row[0], row[1]) for row in connection.execute(statements("relay.sql")["overdue_holds"], parameters)]


def move_sweep(connection: psycopg.Connection[TupleRow], *, grace_s: float) -> None:
    """Remember how far no hold is open, so that the next look is short."""
    connection.execute(statements("relay.sql")["move_sweep"], {"grace_s": grace_s})


def expire_holds(
    connection: psycopg.Connection[TupleRow],
    ids: Sequence[UUID],
    *,
    grace_s: float,
    book_of: BookOf,
    case_owner: str,
    case_max_age_days: int,
) -> list[Expiry]:
    """Expire those of the holds that are still open and overdue, in one transaction. Returns what was expired."""
    relay, settle = statements("relay.sql"), statements("settle.sql")
    asked = {"ids": uuids(ids), "grace_s": grace_s}
    with connection.transaction():
        # Buckets, then holds, then windows: the order of everybody who takes more than one of them.
        held = [row[0] for row in connection.execute(relay["buckets_of_holds"], asked).fetchall()]
        buckets = Buckets(connection.execute(settle["lock_buckets"], {"accounts": plain(held)}, binary=True).fetchall())
        with connection.cursor(row_factory=dict_row) as cursor:
            rows = cursor.execute(relay["lock_overdue"], asked).fetchall()
        expiries = [_decide(row, book_of) for row in rows]
        if expiries:
            _post(connection, expiries, rows, buckets, case_owner, case_max_age_days)
        return expiries


def _decide(row: dict[str, Any], book_of: BookOf) -> Expiry:
    book = book_of(row["price_version"])
    assert book is not None, "a hold's price book is in the ledger, and price books are never removed"
    return expire(
        HoldRow(**{name: row[name] for name in HOLD_COLUMNS}),
        progress_input=row["progress_input"],
        progress_output=row["progress_output"],
        candidates=row["detail"]["candidates"],
        book=book,
    )


def _post(  # noqa: PLR0917 - the one caller names what the transaction has read
    connection: psycopg.Connection[TupleRow],
    expiries: Sequence[Expiry],
    rows: Sequence[dict[str, Any]],
    buckets: Buckets,
    case_owner: str,
    case_max_age_days: int,
) -> None:
    sql = statements("settle.sql")
    ids = AccountIds(connection)
    needed = [accounts.revenue(currency) for currency in {expiry.hold.currency for expiry in expiries}]
    ids.open({account.name: account for account in needed})
    txns, postings, outbox, windows = Txns(), Postings(), Outbox(), Windows()
    moves: list[Move] = []
    for expiry, row in zip(expiries, rows, strict=True):
        _add_txn(txns, expiry)
        hold = expiry.hold
        paid = buckets.capture(hold.account, hold.amount_nano, expiry.charge_nano)
        windows.add(hold.windows, released=hold.amount_nano, spent=expiry.charge_nano)
        if hold.account is not None:
            moves.append((expiry.txn_id, hold.account, *paid.move))
            postings.move(expiry.txn_id, hold.account, accounts.revenue(hold.currency), hold.currency, expiry.charge_nano)
        outbox.add(topics.LEDGER, hold.holder, "Expired", expiry.txn_id, outgoing.expired(expiry, row["detail"]["key_name"]))
        outbox.add(topics.LEDGER, hold.holder, "CaseOpened", expiry.case.id, outgoing.case_opened(expiry.case))
    connection.execute(sql["end_holds"], _ends(expiries))
    connection.execute(sql["write_txns"], txns.parameters())
    if postings.rows:
        connection.execute(sql["write_postings"], postings.drain(ids.id_of))
    cases = case_parameters([expiry.case for expiry in expiries])
    connection.execute(sql["open_cases"], {"owner": case_owner, "max_age_days": case_max_age_days, **cases})
    write_balances(connection, moves, buckets, windows)
    connection.execute(sql["write_outbox"], outbox.parameters())


def _add_txn(txns: Txns, expiry: Expiry) -> None:
    hold = expiry.hold
    txns.add(
        expiry.txn_id,
        "expire",
        f"expire:{hold.id}",
        holder=hold.holder,
        detail={"key_id": hold.key_id, "project_id": hold.project_id, "charge_nano": expiry.charge_nano},
        price_version=hold.price_version,
        request_id=hold.request_id,
        hold_id=hold.id,
    )


def _ends(expiries: Sequence[Expiry]) -> dict[str, Column]:
    return {
        "ids": uuids([expiry.hold.id for expiry in expiries]),
        "states": words(["EXPIRED" for _ in expiries]),
        "captured": bigints([expiry.charge_nano for expiry in expiries]),
        "windows": integers([len(expiry.hold.windows) for expiry in expiries]),
    }
