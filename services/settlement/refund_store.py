"""Refunds posted: the charge goes back to the bucket that paid it, what is owed there is repaid first."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from psycopg.rows import dict_row

from schemas.corrections import Refunded, RefundedData
from schemas.envelope import new_id
from schemas.money import format_amount
from schemas.requests import KeyRef
from services.settlement import accounts
from services.settlement.arrays import plain, uuids
from services.settlement.correction_store import Connection, Correction, OwnBucket, lock_own, write
from services.settlement.errors import NotFoundError
from services.settlement.once import once
from services.settlement.refunds import Charge, Refund, beyond_hold, chosen, refundable
from services.settlement.refusals import utc_text
from services.settlement.statements import statements


def refund(connection: Connection, asked: Refund) -> tuple[dict[str, Any], bool]:
    """Post the refund. Returns the answer and whether it is new.

    Raises NotFoundError for another account's request, ConflictError (nothing was charged, less is left, another body under
    the key), InvalidError (zero).
    """
    return once(connection, asked.idem_key, asked.request_hash, lambda: _refund(connection, asked))


def refunds_of(connection: Connection, holder: str, request_id: UUID) -> list[dict[str, Any]]:
    """Every refund of a request, oldest first, as its receipt shows them."""
    asked = {"holder": holder, "request_id": request_id}
    rows = connection.execute(statements("money.sql")["refunds_of_request"], asked).fetchall()
    shown = ("amount_nano", "amount", "bucket", "currency", "run_id", "reason")
    return [
        {"txn_id": str(txn_id), "hold_id": str(hold_id), "at": utc_text(at), **{name: detail[name] for name in shown}}
        for txn_id, hold_id, at, detail in rows
    ]


def _charges(connection: Connection, asked: Refund) -> list[Charge]:
    """What the request's holds were charged, as it is now."""
    sql = statements("money.sql")
    key = {"holder": asked.account_id, "request_id": asked.request_id}
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(sql["charges_of_request"], key).fetchall()
    if not rows:
        raise NotFoundError(f"no request {asked.request_id} of this account is in the ledger", code="request_not_found")
    ids = {"holds": uuids(row["hold_id"] for row in rows)}
    given: dict[UUID, int] = dict(connection.execute(sql["refunded"], ids).fetchall())
    return [Charge(**{**row, "windows": tuple(row["windows"])}, refunded_nano=given.get(row["hold_id"], 0)) for row in rows]


def _refund(connection: Connection, asked: Refund) -> dict[str, Any]:
    sql = statements("money.sql")
    charge = chosen(_charges(connection, asked), asked)
    beside: Sequence[int] = () if charge.account is None else [charge.account]
    # Buckets, then the hold, then windows: the order of everybody who takes more than one of them.
    own = lock_own(connection, asked.account_id, charge.bucket, charge.currency, beside=beside, limited=True)
    connection.execute(sql["lock_hold"], {"hold": charge.hold_id})
    charge = chosen(_charges(connection, asked), asked)
    nano = refundable(charge, asked.amount_nano)
    run = charge.run if _is_open(connection, charge.run) else None
    account = charge.account if run is not None and charge.account is not None else own.account
    before, repaid = own.buckets.top_up(account, nano)
    correction = _correction(asked, charge, own, account, nano, repaid, before, run)
    write(connection, own, [correction])
    connection.execute(
        sql["restore_windows"],
        {"windows": plain(charge.windows), "spent": nano, "overrun": beyond_hold(charge, nano)},
    )
    return correction.detail


def _is_open(connection: Connection, run: str) -> bool:
    """Whether the run whose reserve paid takes holds still. Read under the reserve's lock: a run ends under it too."""
    row = connection.execute(statements("money.sql")["run_state"], {"run": run}).fetchone() if run else None
    return row is not None and row[0] == "OPEN"


def _correction(  # noqa: PLR0917 - the one caller has just named all of them
    asked: Refund, charge: Charge, own: OwnBucket, account: int, nano: int, repaid: int, before: int, run: str | None
) -> Correction:
    move = own.moved(before, account=account, run=run)
    txn_id = new_id()
    data = RefundedData(
        txn_id=txn_id,
        hold_id=charge.hold_id,
        key=KeyRef(project_id=charge.project_id, key_id=charge.key_id, key_name=charge.key_name),
        amount_nano=nano,
        repaid_nano=repaid,
        charged_nano=charge.charged_nano,
        refunded_nano=charge.refunded_nano + nano,
        reason=asked.reason,
        author=asked.author,
        balance=move,
    )
    event = Refunded(event_id=txn_id, account_id=own.holder, request_id=charge.request_id, run_id=run, data=data)
    return Correction(
        kind="refund",
        idem_key=asked.idem_key,
        request_hash=asked.request_hash,
        detail=_answer(asked, replace(charge, refunded_nano=charge.refunded_nano + nano), data, run, beyond_hold(charge, nano)),
        account=account,
        move=move,
        lines=[
            (accounts.revenue(own.currency), account, nano),
            (account, accounts.overrun_receivable(own.currency), repaid),
        ],
        event=event,
        hold_id=charge.hold_id,
    )


def _answer(asked: Refund, charge: Charge, data: RefundedData, run: str | None, beyond: int) -> dict[str, Any]:
    """What the caller gets, and gets again. `charge` counts this refund."""
    return {
        "txn_id": str(data.txn_id),
        "account_id": asked.account_id,
        "request_id": str(charge.request_id),
        "hold_id": str(charge.hold_id),
        "project_id": charge.project_id,
        "key_id": charge.key_id,
        "bucket": charge.bucket,
        "currency": charge.currency,
        "run_id": run,
        "amount": format_amount(data.amount_nano),
        "amount_nano": data.amount_nano,
        "repaid_nano": data.repaid_nano,
        "beyond_hold_nano": beyond,
        "charged_nano": charge.charged_nano,
        "refunded_nano": charge.refunded_nano,
        "left_nano": charge.left_nano,
        "balance": {
            "before_nano": data.balance.before_nano,
            "after_nano": data.balance.after_nano,
            "held_nano": data.balance.held_after_nano,
        },
        "reason": asked.reason,
        "author": asked.author,
    }
