"""Chargebacks posted: a provider takes a payment back, or gives it again."""

from typing import Any

from schemas.corrections import ChargebackReinstated, ChargebackReinstatedData, ChargedBack, ChargedBackData
from schemas.envelope import new_id
from schemas.money import format_amount
from services.settlement import accounts
from services.settlement.chargebacks import Chargeback, Dispute, Payment, Reinstatement, chargeable, reinstatable
from services.settlement.correction_store import CaseTerms, Connection, Correction, OwnBucket, lock_own, write
from services.settlement.errors import ConflictError, NotFoundError
from services.settlement.once import once
from services.settlement.settling import CaseDraft
from services.settlement.statements import statements

Answer = tuple[dict[str, Any], bool]
CASE_KIND = "chargeback"


def payment(connection: Connection, provider: str, payment_id: str) -> Payment | None:
    """The top-up of a payment with its disputes; None for one that was never added."""
    key = {"idem_key": f"topup:{provider}:{payment_id}"}
    row = connection.execute(statements("admin.sql")["txn_by_key"], key).fetchone()
    if row is None:
        return None
    detail: dict[str, Any] = row[2]
    found = connection.execute(statements("money.sql")["disputes_of_payment"], {"payment": row[0]}).fetchall()
    return Payment(
        txn_id=row[0],
        account_id=detail["account_id"],
        bucket=detail["bucket"],
        currency=detail["currency"],
        provider=provider,
        payment_id=payment_id,
        amount_nano=detail["amount_nano"],
        disputes=[
            Dispute(dispute_id=dispute_id, amount_nano=nano, reinstated_nano=again) for dispute_id, _, nano, again in found
        ],
    )


def charge_back(connection: Connection, asked: Chargeback, terms: CaseTerms) -> Answer:
    """Take a payment back, for a dispute. Returns the answer and whether it is new.

    Raises NotFoundError for an unknown payment, ConflictError (more than is left of it, another body for the dispute).
    """
    return once(connection, asked.idem_key, asked.request_hash, lambda: _take(connection, asked, "dispute", 0, terms))


def take_returned(connection: Connection, asked: Chargeback, returned_nano: int, terms: CaseTerms) -> Answer:
    """Take what the operator has paid back at the provider: `returned_nano` in all, of which a part may be posted already.

    Raises as `charge_back` does.
    """
    return once(
        connection, asked.idem_key, asked.request_hash, lambda: _take(connection, asked, "returned", returned_nano, terms)
    )


def reinstate(connection: Connection, asked: Reinstatement) -> Answer:
    """Give a payment again after its dispute was won. Returns the answer and whether it is new.

    Raises NotFoundError for an unknown dispute, ConflictError (more than it took, another body).
    """
    return once(connection, asked.idem_key, asked.request_hash, lambda: _reinstate(connection, asked))


def returned_so_far(connection: Connection, found: Payment) -> int:
    """What of a payment was paid back at the provider, in nano, as far as it is posted."""
    rows = connection.execute(statements("money.sql")["disputes_of_payment"], {"payment": found.txn_id}).fetchall()
    return sum(nano for _, kind, nano, _ in rows if kind == "returned")


def _locked(connection: Connection, provider: str, payment_id: str) -> tuple[Payment, OwnBucket]:
    """The payment as it is now, under the lock of its bucket: everything that touches a payment waits there."""
    found = payment(connection, provider, payment_id)
    if found is None:
        raise NotFoundError(f"payment {payment_id} of {provider} was never added", code="payment_not_found")
    own = lock_own(connection, found.account_id, found.bucket, found.currency)
    found = payment(connection, provider, payment_id)
    assert found is not None, "a payment is never removed"
    return found, own


def _take(connection: Connection, asked: Chargeback, kind: str, returned_nano: int, terms: CaseTerms) -> dict[str, Any]:
    found, own = _locked(connection, asked.provider, asked.payment_id)
    wanted = asked.amount_nano
    if kind == "returned":
        wanted = returned_nano - returned_so_far(connection, found)
        if wanted <= 0:
            raise ConflictError(f"what was returned of payment {asked.payment_id} is posted already", code="already_returned")
    nano = chargeable(found, wanted)
    before, taken = own.buckets.take(own.account, nano)
    owed = nano - taken
    own.buckets.owe(own.account, owed)
    move = own.moved(before)
    txn_id = new_id()
    cases = [_case(asked, own, nano, owed)] if kind == "dispute" or owed else []
    data = ChargedBackData(
        txn_id=txn_id,
        provider=asked.provider,
        payment_id=asked.payment_id,
        dispute_id=asked.dispute_id,
        amount_nano=nano,
        owed_nano=owed,
        reason=asked.reason,
        author=asked.author,
        case_id=cases[0].id if cases else None,
        balance=move,
    )
    detail = _answer(own, data) | {"owed_nano": owed, "case_id": str(cases[0].id) if cases else None}
    clearing = accounts.top_up_clearing(asked.provider, own.currency)
    correction = Correction(
        kind="chargeback",
        idem_key=asked.idem_key,
        request_hash=asked.request_hash,
        detail=detail,
        account=own.account,
        move=move,
        lines=[(own.account, clearing, taken), (accounts.overrun_receivable(own.currency), clearing, owed)],
        event=ChargedBack(event_id=txn_id, account_id=own.holder, data=data),
        cases=cases,
    )
    write(connection, own, [correction], terms)
    row = {"provider": asked.provider, "dispute_id": asked.dispute_id, "payment": found.txn_id, "kind": kind}
    connection.execute(statements("money.sql")["add_dispute"], {**row, "txn": txn_id, "amount": nano})
    return detail


def _reinstate(connection: Connection, asked: Reinstatement) -> dict[str, Any]:
    sql = statements("money.sql")
    key = {"provider": asked.provider, "dispute_id": asked.dispute_id}
    row = connection.execute(sql["dispute"], key).fetchone()
    if row is None:
        raise NotFoundError(f"dispute {asked.dispute_id} of {asked.provider} took nothing yet", code="dispute_not_found")
    found, own = _locked(connection, asked.provider, row[0].removeprefix(f"topup:{asked.provider}:"))
    dispute = next(each for each in found.disputes if each.dispute_id == asked.dispute_id)
    if dispute.reinstated_nano:
        raise ConflictError(f"dispute {asked.dispute_id} was reinstated before", code="already_reinstated")
    nano = reinstatable(dispute, asked.amount_nano)
    before, repaid = own.buckets.top_up(own.account, nano)
    move = own.moved(before)
    txn_id = new_id()
    data = ChargebackReinstatedData(
        txn_id=txn_id,
        provider=asked.provider,
        payment_id=found.payment_id,
        dispute_id=asked.dispute_id,
        amount_nano=nano,
        repaid_nano=repaid,
        reason=asked.reason,
        author=asked.author,
        balance=move,
    )
    detail = _answer(own, data) | {"repaid_nano": repaid}
    clearing = accounts.top_up_clearing(asked.provider, own.currency)
    correction = Correction(
        kind="reinstatement",
        idem_key=asked.idem_key,
        request_hash=asked.request_hash,
        detail=detail,
        account=own.account,
        move=move,
        lines=[
            (clearing, own.account, nano),
            (own.account, accounts.overrun_receivable(own.currency), repaid),
        ],
        event=ChargebackReinstated(event_id=txn_id, account_id=own.holder, data=data),
    )
    write(connection, own, [correction])
    connection.execute(sql["reinstate_dispute"], {**key, "txn": txn_id, "amount": nano})
    return detail


def _case(asked: Chargeback, own: OwnBucket, nano: int, owed: int) -> CaseDraft:
    rest = f", of which {format_amount(owed)} is owed: no new hold passes until it is paid" if owed else ""
    return CaseDraft(
        kind=CASE_KIND,
        detail=f"{asked.provider} took {format_amount(nano)} {own.currency} of payment {asked.payment_id} back for"
        f" {asked.dispute_id} ({asked.reason}){rest}",
        holder=own.holder,
        currency=own.currency,
        exposure_nano=nano,
    )


def _answer(own: OwnBucket, data: ChargedBackData | ChargebackReinstatedData) -> dict[str, Any]:
    move = data.balance
    return {
        "txn_id": str(data.txn_id),
        "account_id": own.holder,
        "bucket": own.bucket,
        "currency": own.currency,
        "provider": data.provider,
        "payment_id": data.payment_id,
        "dispute_id": data.dispute_id,
        "amount": format_amount(data.amount_nano),
        "amount_nano": data.amount_nano,
        "balance": {"before_nano": move.before_nano, "after_nano": move.after_nano, "held_nano": move.held_after_nano},
        "reason": data.reason,
        "author": data.author,
    }
