"""Adjustments and promotions posted: what an operator gives to a bucket or takes from it by hand."""

from typing import Any

from schemas.corrections import Adjusted, AdjustedData, PromotionGranted, PromotionGrantedData
from schemas.envelope import new_id, now
from schemas.money import format_amount
from services.settlement import accounts, credit_store
from services.settlement.adjustments import Adjustment, require_available
from services.settlement.correction_store import Connection, Correction, Line, OwnBucket, currency_of, lock_own, write
from services.settlement.once import once
from services.settlement.pricebook import PriceBook
from services.settlement.promotions import Promotion
from services.settlement.refusals import utc_text

Answer = tuple[dict[str, Any], bool]


def adjust(connection: Connection, asked: Adjustment, book: PriceBook) -> Answer:
    """Post the adjustment. Returns the answer and whether it is new.

    Raises InvalidError (unknown bucket, zero), ConflictError (not available, another body under the key, a cost centre).
    """
    currency = currency_of(book, asked.bucket)
    return once(connection, asked.idem_key, asked.request_hash, lambda: _adjust(connection, asked, currency))


def grant(connection: Connection, asked: Promotion, book: PriceBook) -> Answer:
    """Post the promotion. Returns the answer and whether it is new.

    Raises InvalidError (unknown bucket, zero, an expiry in the past), ConflictError (another body under the key, a cost
    centre).
    """
    currency = currency_of(book, asked.bucket)
    return once(connection, asked.idem_key, asked.request_hash, lambda: _grant(connection, asked, currency))


def _adjust(connection: Connection, asked: Adjustment, currency: str) -> dict[str, Any]:
    nano = asked.amount_nano
    own = lock_own(connection, asked.account_id, asked.bucket, currency)
    other = accounts.adjustment(currency)
    lines: list[Line]
    if nano > 0:
        before, repaid = own.buckets.top_up(own.account, nano)
        lines = [(other, own.account, nano), (own.account, accounts.overrun_receivable(currency), repaid)]
    else:
        require_available(-nano, own.available_nano, asked.bucket, currency)
        before, taken = own.buckets.take(own.account, -nano)
        repaid, lines = 0, [(own.account, other, taken)]
    move = own.moved(before)
    txn_id = new_id()
    data = AdjustedData(
        txn_id=txn_id, amount_nano=nano, repaid_nano=repaid, reason=asked.reason, author=asked.author, balance=move
    )
    event = Adjusted(event_id=txn_id, account_id=asked.account_id, data=data)
    detail = answered(own, nano, repaid, event) | {"reason": asked.reason, "author": asked.author}
    correction = Correction(
        kind="adjustment",
        idem_key=asked.idem_key,
        request_hash=asked.request_hash,
        detail=detail,
        account=own.account,
        move=move,
        lines=lines,
        event=event,
    )
    write(connection, own, [correction])
    return detail


def _grant(connection: Connection, asked: Promotion, currency: str) -> dict[str, Any]:
    asked.require_future(now())
    nano = asked.amount_nano
    own = lock_own(connection, asked.account_id, asked.bucket, currency)
    folded = credit_store.start(connection, own.account)
    before, repaid = own.buckets.top_up(own.account, nano)
    move = own.moved(before)
    txn_id = new_id()
    data = PromotionGrantedData(
        txn_id=txn_id,
        amount_nano=nano,
        repaid_nano=repaid,
        expires_at=asked.expires_at,
        reason=asked.reason,
        author=asked.author,
        balance=move,
    )
    event = PromotionGranted(event_id=txn_id, account_id=asked.account_id, data=data)
    detail = answered(own, nano, repaid, event) | {
        "promotion_id": str(txn_id),
        "expires_at": utc_text(asked.expires_at),
        "reason": asked.reason,
        "author": asked.author,
    }
    correction = Correction(
        kind="promotion",
        idem_key=asked.idem_key,
        request_hash=asked.request_hash,
        detail=detail,
        account=own.account,
        move=move,
        lines=[
            (accounts.promotion(currency), own.account, nano),
            (own.account, accounts.overrun_receivable(currency), repaid),
        ],
        event=event,
    )
    write(connection, own, [correction])
    folded.add(credit_store.moves(connection, own.account, folded.credit.seq, limit=None))
    credit_store.save(connection, folded)
    return detail


def answered(own: OwnBucket, nano: int, repaid: int, event: Adjusted | PromotionGranted) -> dict[str, Any]:
    """The part of the answer that both have: it is kept, and given again when the same is asked again."""
    move = event.data.balance
    return {
        "txn_id": str(event.event_id),
        "account_id": own.holder,
        "bucket": own.bucket,
        "currency": own.currency,
        "amount": format_amount(nano),
        "amount_nano": nano,
        "repaid_nano": repaid,
        "balance": {"before_nano": move.before_nano, "after_nano": move.after_nano, "held_nano": move.held_after_nano},
    }
