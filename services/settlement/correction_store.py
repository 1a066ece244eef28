"""Writes what moves a bucket beside requests: transaction, postings, balance, cases and event, all in one."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import TupleRow

from schemas import topics
from schemas.envelope import Event
from schemas.ledger import BalanceMove
from services.settlement import accounts, metrics, outgoing
from services.settlement.accounts import LedgerAccount
from services.settlement.arrays import plain
from services.settlement.balance_writes import write_balances
from services.settlement.balances import Buckets
from services.settlement.entries import Outbox, Postings, Txns, case_parameters
from services.settlement.errors import ConflictError, InvalidError
from services.settlement.ledger_accounts import AccountIds
from services.settlement.pricebook import PriceBook
from services.settlement.settling import CaseDraft
from services.settlement.statements import statements

Connection = psycopg.Connection[TupleRow]
Line = tuple[LedgerAccount | int, LedgerAccount | int, int]
"""Debit, credit, nano."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseTerms:
    """Who gets a case, and how old it may become."""

    owner: str
    max_age_days: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """One transaction on one bucket. `before_nano` and `move` are the bucket around it; `detail` is the stored answer."""

    kind: str
    idem_key: str
    request_hash: bytes | None
    detail: dict[str, Any]
    account: int
    move: BalanceMove
    lines: Sequence[Line]
    event: Event
    hold_id: UUID | None = None
    cases: Sequence[CaseDraft] = field(default=())


@dataclass(slots=True)
class OwnBucket:
    """A customer's bucket under lock."""

    holder: str
    bucket: str
    currency: str
    account: int
    buckets: Buckets
    ids: AccountIds

    @property
    def available_nano(self) -> int:
        """What no hold has taken."""
        state = self.buckets.state(self.account)
        return state.posted - state.held

    def moved(self, before_nano: int, *, account: int | None = None, run: str | None = None) -> BalanceMove:
        """The bucket from what it was to what it is now; or another one that is locked with it."""
        state = self.buckets.state(self.account if account is None else account)
        return BalanceMove(
            bucket=self.bucket,
            currency=self.currency,
            before_nano=before_nano,
            after_nano=state.posted,
            held_after_nano=state.held,
            run=run,
        )


def currency_of(book: PriceBook, bucket: str) -> str:
    """The currency of a bucket. Raises InvalidError for one that no price book knows."""
    found = book.bucket_named(bucket)
    if found is None:
        raise InvalidError(f"there is no bucket {bucket!r} in price book {book.version}", code="unknown_bucket", param="bucket")
    return found.currency


def lock_own(
    connection: Connection, holder: str, bucket: str, currency: str, *, beside: Sequence[int] = (), limited: bool = False
) -> OwnBucket:
    """The customer's bucket, opened where it is new, locked with the accounts `beside` it in the order of everybody.

    Raises ConflictError for a bucket that a limit funds, unless `limited` allows it: nothing is paid in there.
    """
    admin, ids = statements("admin.sql"), AccountIds(connection)
    customer = accounts.customer_bucket(holder, bucket, currency)
    ids.open({customer.name: customer})
    account = ids.id_of(customer)
    opened = {"account": account, "holder": holder, "bucket": bucket, "currency": currency}
    if connection.execute(admin["bucket_account"], opened).fetchone() is None:
        connection.execute(admin["lock_holder"], opened)
        connection.execute(admin["open_bucket"], opened)
    asked = {"accounts": plain(sorted({account, *beside}))}
    buckets = Buckets(connection.execute(statements("settle.sql")["lock_buckets"], asked, binary=True).fetchall())
    if buckets.state(account).unlimited and not limited:
        raise ConflictError(
            f"the bucket {bucket} of account {holder} is funded by a limit: change the limit instead",
            code="bucket_funded_by_limit",
        )
    return OwnBucket(holder, bucket, currency, account, buckets, ids)


def write(connection: Connection, own: OwnBucket, corrections: Sequence[Correction], terms: CaseTerms | None = None) -> None:
    """Write the corrections of one holder, inside the transaction that has locked the bucket."""
    sql = statements("settle.sql")
    txns, postings, outbox, moves = Txns(), Postings(), Outbox(), []
    cases = [case for correction in corrections for case in correction.cases]
    for each in corrections:
        _add_txn(txns, own.holder, each)
        for debit, credit, nano in each.lines:
            postings.move(each.event.event_id, debit, credit, own.currency, nano)
        move = each.move
        moves.append((each.event.event_id, each.account, move.before_nano, move.after_nano, move.held_after_nano))
        outbox.add(topics.LEDGER, own.holder, each.event.type, each.event.event_id, each.event.to_json().decode())
    for case in cases:
        outbox.add(topics.LEDGER, case.holder, "CaseOpened", case.id, outgoing.case_opened(case))
        metrics.CASES.labels(case.kind).inc()
    connection.execute(sql["write_txns"], txns.parameters())
    if postings.rows:
        own.ids.open(postings.accounts)
        connection.execute(sql["write_postings"], postings.drain(own.ids.id_of))
    if cases and terms:
        owner = {"owner": terms.owner, "max_age_days": terms.max_age_days}
        connection.execute(sql["open_cases"], {**owner, **case_parameters(cases)})
    write_balances(connection, moves, own.buckets)
    connection.execute(sql["write_outbox"], outbox.parameters())


def _add_txn(txns: Txns, holder: str, correction: Correction) -> None:
    txns.add(
        correction.event.event_id,
        correction.kind,
        correction.idem_key,
        holder=holder,
        detail=correction.detail,
        request_hash=correction.request_hash.hex() if correction.request_hash else None,
        request_id=correction.event.request_id,
        hold_id=correction.hold_id,
    )
