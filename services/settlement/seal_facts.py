"""What an entry of the seal is made from, read from the ledger's own tables."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

import orjson
import psycopg
from psycopg.rows import TupleRow

from schemas.sealing import Row, TxnFacts, account_entry, price_book_entry, split, txn_entry
from services.settlement.arrays import Column, plain, uuids
from services.settlement.statements import statements


class Subject(NamedTuple):
    """What is sealed: exactly one of the three."""

    txn: UUID | None
    account: int | None
    price_book: int | None

    def __str__(self) -> str:
        if self.txn is not None:
            return f"transaction {self.txn}"
        return f"account {self.account}" if self.account is not None else f"price book {self.price_book}"


Facts = TxnFacts | Row


def read_facts(connection: psycopg.Connection[TupleRow], subjects: Iterable[Subject]) -> Mapping[Subject, Facts]:
    """The facts of each subject that is there."""
    wanted = list(subjects)
    found: dict[Subject, Facts] = {}
    txns = [each.txn for each in wanted if each.txn]
    accounts = [each.account for each in wanted if each.account is not None]
    books = [each.price_book for each in wanted if each.price_book]
    for txn, text in _rows(connection, "txns", uuids(txns)) if txns else ():
        found[Subject(txn, None, None)] = txn_facts(text)
    for account, text in _rows(connection, "accounts", plain(accounts)) if accounts else ():
        found[Subject(None, account, None)] = orjson.loads(text)
    for book, text in _rows(connection, "price_books", plain(books)) if books else ():
        found[Subject(None, None, book)] = orjson.loads(text)
    return found


def entry(facts: Facts, subject: Subject, *, seq: int, prev: bytes, salt: bytes | None) -> bytes:
    """The bytes of the entry."""
    if isinstance(facts, TxnFacts):
        return txn_entry(facts, seq=seq, prev=prev, salt=salt)
    if subject.account is not None:
        return account_entry(facts, seq=seq, prev=prev)
    return price_book_entry(facts, seq=seq, prev=prev)


def hides(facts: Facts) -> bool:
    """Whether the entry has postings that no receipt shows: only then it has a salt."""
    return isinstance(facts, TxnFacts) and bool(facts.own)


def txn_facts(text: str) -> TxnFacts:
    """The facts in a row of the statement `txns`."""
    txn, postings, moves, holds, receipt = orjson.loads(text)
    shown, own = split(postings or ())
    return TxnFacts(txn, shown, own, moves or (), holds or (), receipt)


def _rows(connection: psycopg.Connection[TupleRow], statement: str, ids: Column) -> Sequence[tuple[Any, str]]:
    return connection.execute(statements("seal.sql")[statement], {"ids": ids}, binary=True).fetchall()
