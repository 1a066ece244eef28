"""Payments into buckets: one transaction each, once for ever per payment."""

from typing import Any

import psycopg
from psycopg.rows import TupleRow

from schemas import topics
from schemas.envelope import new_id
from schemas.ledger import BalanceMove, ToppedUp, ToppedUpData
from schemas.money import format_amount
from services.settlement import accounts
from services.settlement.arrays import plain
from services.settlement.balance_writes import write_balances
from services.settlement.balances import Buckets
from services.settlement.entries import Outbox, Postings, Txns
from services.settlement.errors import ConflictError, InvalidError, UnavailableError
from services.settlement.ledger_accounts import AccountIds
from services.settlement.money_in import TopUp
from services.settlement.pricebook import PriceBook
from services.settlement.statements import statements


def top_up(connection: psycopg.Connection[TupleRow], asked: TopUp, book: PriceBook) -> tuple[dict[str, Any], bool]:
    """Add the payment. Returns the answer and whether it is new; the same payment again gives the stored answer.

    Raises InvalidError for an unknown bucket or a zero amount, ConflictError for the same payment with another body.
    """
    bucket = book.bucket_named(asked.bucket)
    if bucket is None:
        raise InvalidError(
            f"there is no bucket {asked.bucket!r} in price book {book.version}", code="unknown_bucket", param="bucket"
        )
    if asked.amount_nano == 0:
        raise InvalidError("a top-up must be more than zero", code="invalid_amount", param="amount")
    for _ in range(2):
        stored = _stored(connection, asked)
        if stored is not None:
            return stored, False
        try:
            with connection.transaction():
                return _post(connection, asked, bucket.currency), True
        except psycopg.errors.UniqueViolation:
            continue  # the same payment was posted between looking and writing: the next round finds it
    raise UnavailableError("the payment is being posted by somebody else: ask again")


def _stored(connection: psycopg.Connection[TupleRow], asked: TopUp) -> dict[str, Any] | None:
    row = connection.execute(statements("admin.sql")["txn_by_key"], {"idem_key": asked.idem_key}).fetchone()
    if row is None:
        return None
    if bytes(row[1]) != asked.request_hash:
        raise ConflictError(f"payment {asked.payment_id} of {asked.provider} was added before with another body")
    answer: dict[str, Any] = row[2]
    return answer


def _post(connection: psycopg.Connection[TupleRow], asked: TopUp, currency: str) -> dict[str, Any]:
    admin, settle = statements("admin.sql"), statements("settle.sql")
    customer = accounts.customer_bucket(asked.account_id, asked.bucket, currency)
    clearing = accounts.top_up_clearing(asked.provider, currency)
    receivable = accounts.overrun_receivable(currency)
    ids = AccountIds(connection)
    ids.open({account.name: account for account in (customer, clearing, receivable)})
    account = ids.id_of(customer)
    opened = {"account": account, "holder": asked.account_id, "bucket": asked.bucket, "currency": currency}
    if connection.execute(admin["bucket_account"], opened).fetchone() is None:
        connection.execute(admin["lock_holder"], opened)
        connection.execute(admin["open_bucket"], opened)
    buckets = Buckets(connection.execute(settle["lock_buckets"], {"accounts": plain([account])}, binary=True).fetchall())
    if buckets.state(account).unlimited:
        raise ConflictError(
            f"the bucket {asked.bucket} of account {asked.account_id} is funded by a limit: change the limit instead",
            code="bucket_funded_by_limit",
        )
    before, repaid = buckets.top_up(account, asked.amount_nano)
    state = buckets.states[0]
    txn_id = new_id()
    answer = {
        "txn_id": str(txn_id),
        "account_id": asked.account_id,
        "provider": asked.provider,
        "payment_id": asked.payment_id,
        "bucket": asked.bucket,
        "currency": currency,
        "amount": format_amount(asked.amount_nano),
        "amount_nano": asked.amount_nano,
        "repaid_nano": repaid,
        "balance": {"before_nano": before, "after_nano": state.posted, "held_nano": state.held},
    }
    txns, postings = Txns(), Postings()
    digest = asked.request_hash.hex()
    txns.add(txn_id, "topup", asked.idem_key, holder=asked.account_id, detail=answer, request_hash=digest)
    postings.move(txn_id, clearing, account, currency, asked.amount_nano)
    postings.move(txn_id, account, receivable, currency, repaid)
    move = BalanceMove(
        bucket=asked.bucket, currency=currency, before_nano=before, after_nano=state.posted, held_after_nano=state.held
    )
    event = ToppedUp(
        event_id=txn_id,
        account_id=asked.account_id,
        data=ToppedUpData(
            txn_id=txn_id,
            provider=asked.provider,
            payment_id=asked.payment_id,
            amount_nano=asked.amount_nano,
            balance=move,
        ),
    )
    outbox = Outbox()
    outbox.add(topics.LEDGER, asked.account_id, "ToppedUp", txn_id, event.to_json().decode())
    connection.execute(settle["write_txns"], txns.parameters())
    connection.execute(settle["write_postings"], postings.drain(ids.id_of))
    write_balances(connection, [(txn_id, account, before, state.posted, state.held)], buckets)
    connection.execute(settle["write_outbox"], outbox.parameters())
    return answer
