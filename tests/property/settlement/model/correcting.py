"""Money that moves beside requests, by the words of LEDGER.md and ADR 0006."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from tests.property.settlement.model.account import Account, currency_of
from tests.property.settlement.model.values import GivenBack, ModelHold


@dataclass
class ModelPayment:
    """A payment, and what its provider took back of it."""

    bucket: str
    nano: int
    taken: int = 0


@dataclass
class ModelDispute:
    """What a dispute took, and whether it was given again."""

    payment: ModelPayment
    nano: int
    reinstated: bool = False


def charged_holds(account: Account, request_id: UUID) -> list[ModelHold]:
    """The request's holds that were charged anything."""
    return [hold for hold in account.holds.values() if hold.request.request_id == request_id and hold.charged_nano > 0]


def refusal_of_refund(account: Account, request_id: UUID, nano: int | None, hold_id: UUID | None) -> str | None:
    """Why a request cannot be refunded; None where it can. The request was asked for."""
    charged = [hold for hold in charged_holds(account, request_id) if hold_id in {None, hold.request.hold_id}]
    if not charged:
        of_request = [hold for hold in account.holds.values() if hold.request.request_id == request_id]
        waits = any(hold.state == "HELD" and hold_id in {None, hold.request.hold_id} for hold in of_request)
        return "not_settled" if waits else "nothing_to_refund"
    if len(charged) > 1:
        return "several_charges"
    left = charged[0].charged_nano - charged[0].given_back_nano
    return "refund_exceeds_charge" if left == 0 or (nano is not None and nano > left) else None


def refund(account: Account, hold: ModelHold, nano: int | None) -> None:
    """Back to what paid, and what is owed there is paid of it; windows that are still open count it no longer."""
    nano = hold.charged_nano - hold.given_back_nano if nano is None else nano
    beyond = min(nano, max(hold.overrun_nano - hold.given_back_nano, 0))
    run = account.runs.get(hold.request.run_id or "")
    run_is_open = run is not None and run.state == "OPEN"
    hold.given_back.append(GivenBack(account.clock.now, nano, beyond, run_is_open))
    target = hold.reserve if run_is_open else ""
    account.book_debit("revenue", hold.currency, nano)
    account.pot(hold.bucket, target).move(account.repay(hold.bucket, hold.currency, nano, target))


def refusal_of_adjustment(account: Account, bucket: str, nano: int) -> str | None:
    """What is held is promised: it cannot be taken."""
    if account.pot(bucket).by_limit:
        return "bucket_funded_by_limit"
    return "insufficient_balance" if -nano > account.free(bucket) else None


def adjust(account: Account, bucket: str, nano: int) -> None:
    """Give or take by hand."""
    currency, pot = currency_of(bucket), account.pot(bucket)
    account.book_debit("adjustment", currency, nano)
    if nano < 0:
        pot.purse.spend(-nano, account.clock.now, pot.posted)
        pot.move(nano)
    else:
        pot.move(account.repay(bucket, currency, nano))


def promote(account: Account, bucket: str, nano: int, promotion: UUID, expires_at: datetime) -> None:
    """Credit that expires: as far as it reaches the bucket."""
    currency, pot = currency_of(bucket), account.pot(bucket)
    account.book_debit("promotion", currency, nano)
    reaches = account.repay(bucket, currency, nano)
    pot.move(reaches)
    if reaches:
        pot.purse.grant(promotion, reaches, expires_at)


def expire_promotions(account: Account) -> dict[UUID, int]:
    """What is over and neither spent nor held, by promotion."""
    expired: dict[UUID, int] = {}
    for bucket, run in list(account.pots):
        pot = account.pots[bucket, run]
        if run:
            continue
        open_holds = [hold for hold in account.holds.values() if hold.state == "HELD"]
        held = [(hold.placed_at, hold.amount_nano) for hold in open_holds if (hold.bucket, hold.reserve) == (bucket, "")]
        for promotion, nano in pot.purse.lapsing(account.clock.now, pot.posted, held).items():
            pot.purse.lots[promotion].left -= nano
            pot.move(-nano)
            account.book_debit("breakage", currency_of(bucket), -nano)
            expired[promotion] = nano
    return expired


def refusal_of_chargeback(payment: ModelPayment, nano: int | None) -> str | None:
    """No more is taken back of a payment than is left of it."""
    left = payment.nano - payment.taken
    return "chargeback_exceeds_payment" if left == 0 or (nano is not None and nano > left) else None


def charge_back(account: Account, payment: ModelPayment, nano: int | None) -> ModelDispute:
    """Take what is available; the rest is owed."""
    nano = payment.nano - payment.taken if nano is None else nano
    bucket, currency = payment.bucket, currency_of(payment.bucket)
    pot = account.pot(bucket)
    taken = min(nano, max(account.free(bucket), 0))
    pot.purse.take_back(taken, pot.posted)
    pot.move(-taken)
    pot.owed += nano - taken
    payment.taken += nano
    account.book_debit("top_up_clearing", currency, -nano)
    account.book_debit("overrun_receivable", currency, nano - taken)
    account.cases["chargeback"] += 1
    return ModelDispute(payment, nano)


def reinstate(account: Account, dispute: ModelDispute) -> None:
    """The dispute was won: all that it took comes in again."""
    bucket, currency = dispute.payment.bucket, currency_of(dispute.payment.bucket)
    dispute.reinstated = True
    dispute.payment.taken -= dispute.nano
    account.book_debit("top_up_clearing", currency, dispute.nano)
    account.pot(bucket).move(account.repay(bucket, currency, dispute.nano))
