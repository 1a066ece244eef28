"""The promotional lots of a bucket in Postgres: folded move by move, each move once, however long the history is.

Whoever also locks the bucket locks it first. A bucket's moves are numbered in the order of their commits, so that what is
behind `seq` never changes.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import TupleRow, class_row

from services.settlement.arrays import plain, texts, uuids
from services.settlement.entries import columns
from services.settlement.lots import Credit, Lot, LotMove, Share, fold
from services.settlement.refusals import utc_text
from services.settlement.statements import statements

Connection = psycopg.Connection[TupleRow]
CHUNK = 2_000
"""How many moves one transaction folds: a few dozen milliseconds, without the bucket's lock."""
MOST_TO_SHOW = 10_000


@dataclass(slots=True)
class Folded:
    """A bucket's credit as it was read, and as it is after more moves. `expired` is what those took, by lot."""

    account: int
    granted: dict[UUID, int]
    stored: Credit
    credit: Credit
    expired: dict[UUID, int]

    def add(self, moves: Iterable[LotMove]) -> int:
        """Fold moves that follow. Returns how many there were."""
        count = 0
        for move in moves:
            self.credit = fold(self.credit, [move])
            if move.kind == "promotion" and move.delta_nano > 0:
                self.granted[move.txn] = move.delta_nano
            if move.kind == "credit_expiry" and move.promotion is not None:
                self.expired[move.promotion] = self.expired.get(move.promotion, 0) - move.delta_nano
            count += 1
        return count


def read(connection: Connection, account: int, *, lock: bool) -> Folded | None:
    """The credit as it is stored; None for a bucket that never had any."""
    sql = statements("credit.sql")
    key = {"account": account}
    row = connection.execute(sql["lock_credit" if lock else "credit"], key).fetchone()
    if row is None:
        return None
    rows = _lots(connection, account) if row[2] else ()
    lots = [Lot(id=lot_id, expires_at=expires_at, left_nano=left) for lot_id, expires_at, left, _, _ in rows]
    earmarks: dict[str, tuple[Share, ...]] = {}
    for run, lot, nano in connection.execute(sql["earmarks"], key).fetchall() if row[2] else ():
        earmarks[run] = (*earmarks.get(run, ()), (lot, nano))
    credit = Credit(seq=row[0], posted_nano=row[1], lots=tuple(lots), earmarks=earmarks)
    return Folded(account, {each[0]: each[4] for each in rows}, credit, credit, {})


def start(connection: Connection, account: int) -> Folded:
    """The credit of a bucket that is about to get some, up to today. The caller has locked the bucket."""
    sql = statements("credit.sql")
    key = {"account": account}
    connection.execute(sql["open_credit"], key)
    found = read(connection, account, lock=True)
    assert found is not None, "it was opened above"
    if found.credit.lots:
        found.add(moves(connection, account, found.credit.seq, limit=None))
        return found
    row = connection.execute(sql["skip_moves"], key).fetchone()
    assert row is not None, "it is locked and has no lots"
    reserved = connection.execute(sql["reserved_by_runs"], key).fetchall()
    earmarks: dict[str, tuple[Share, ...]] = {run: ((None, nano),) for run, nano in reserved}
    found.stored = found.credit = Credit(seq=row[0], posted_nano=row[1], earmarks=earmarks)
    return found


def moves(connection: Connection, account: int, after: int, *, limit: int | None) -> list[LotMove]:
    """The bucket's moves behind `after`, in order."""
    with connection.cursor(row_factory=class_row(LotMove)) as cursor:
        asked = {"account": account, "after": after, "limit": limit}
        return cursor.execute(statements("credit.sql")["moves_after"], asked).fetchall()


def save(connection: Connection, folded: Folded) -> None:
    """Write how far the credit is folded by now. The caller has locked it."""
    sql = statements("credit.sql")
    credit = folded.credit
    rows = [_lot_row(folded, lot) for lot in _touched(folded)]
    if rows:
        ids, expiries, granted, left, expired, is_open = columns(rows, 6)
        parameters: dict[str, Any] = {
            "account": folded.account,
            "ids": uuids(ids),
            "expiries": texts(expiries),
            "granted": plain(granted),
            "left": plain(left),
            "expired": plain(expired),
            "open": plain(is_open),
        }
        connection.execute(sql["save_lots"], parameters)
    if credit.earmarks != folded.stored.earmarks or (credit.lots and not folded.stored.lots):
        _save_earmarks(connection, folded.account, credit)
    row = {"account": folded.account, "seq": credit.seq, "posted": credit.posted_nano, "has_lots": bool(credit.lots)}
    connection.execute(sql["save_credit"], row)
    folded.stored, folded.expired = credit, {}


def catch_up(connection: Connection, account: int) -> int:
    """Fold what has happened since, a chunk per transaction, without the bucket's lock. Returns how many moves there were."""
    total = 0
    while True:
        with connection.transaction():
            folded = read(connection, account, lock=True)
            if folded is None or not folded.credit.lots:
                return total
            count = folded.add(moves(connection, account, folded.credit.seq, limit=CHUNK))
            save(connection, folded)
        total += count
        if count < CHUNK:
            return total


def promotional(connection: Connection, holder: str) -> dict[str, Credit]:
    """The credit of every bucket of a holder that has lots, up to date with the snapshot that the caller reads in.

    Of a bucket whose moves do not fold it is what was last known: the sweeper has opened a case for it. And if the sweeper has
    not come for long, it is as of some thousands of moves later: a look at a balance reads no long history.
    """
    found = {}
    for account, bucket in connection.execute(statements("credit.sql")["credit_of_holder"], {"holder": holder}).fetchall():
        folded = read(connection, account, lock=False)
        assert folded is not None, "the row was just listed in the same snapshot"
        with suppress(ValueError):
            folded.add(moves(connection, account, folded.credit.seq, limit=MOST_TO_SHOW))
        found[bucket] = folded.credit
    return found


def expired_so_far(connection: Connection, account: int) -> dict[UUID, int]:
    """How much of each open lot has expired."""
    return {lot_id: expired for lot_id, _, _, expired, _ in _lots(connection, account)}


def open_holds(connection: Connection, account: int) -> list[tuple[datetime, int]]:
    """(placed at, nano) of the bucket's open holds."""
    rows = connection.execute(statements("credit.sql")["open_holds_of_bucket"], {"account": account}).fetchall()
    return [(row[0], row[1]) for row in rows]


def _lots(connection: Connection, account: int) -> Sequence[TupleRow]:
    return connection.execute(statements("credit.sql")["lots"], {"account": account}).fetchall()


def _touched(folded: Folded) -> list[Lot]:
    """Lots that differ from what is stored; those that are gone are there with nothing left."""
    stored = {lot.id: lot for lot in folded.stored.lots}
    present = {lot.id: lot for lot in folded.credit.lots}
    gone = [replace(lot, left_nano=0) for lot_id, lot in stored.items() if lot_id not in present]
    return gone + [lot for lot in present.values() if lot != stored.get(lot.id) or lot.id in folded.expired]


def _lot_row(folded: Folded, lot: Lot) -> tuple[object, ...]:
    is_open = any(each.id == lot.id for each in folded.credit.lots)
    expired = folded.expired.get(lot.id, 0)
    return lot.id, utc_text(lot.expires_at), folded.granted[lot.id], lot.left_nano, expired, is_open


def _save_earmarks(connection: Connection, account: int, credit: Credit) -> None:
    sql = statements("credit.sql")
    connection.execute(sql["drop_earmarks"], {"account": account})
    rows = [(run, lot, nano) for run, shares in credit.earmarks.items() for lot, nano in shares if nano > 0]
    if rows:
        runs, lots, amounts = columns(rows, 3)
        parameters = {"account": account, "runs": texts(runs), "lots": uuids(lots), "amounts": plain(amounts)}
        connection.execute(sql["add_earmarks"], parameters)
