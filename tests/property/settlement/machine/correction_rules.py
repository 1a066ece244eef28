"""Money that moves beside requests: refunds, adjustments, promotions, chargebacks; and what people decide."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition

from schemas.envelope import new_id
from schemas.money import format_amount, parse_amount
from services.settlement.errors import ConflictError
from tests.property.settlement.backend import Backend
from tests.property.settlement.machine.base import LedgerBase
from tests.property.settlement.machine.operations import operation
from tests.property.settlement.machine.strategies import buckets, nano, pick
from tests.property.settlement.model import correcting
from tests.property.settlement.model.correcting import ModelDispute, ModelPayment
from tests.property.settlement.model.values import ModelHold

AMOUNTS = st.one_of(st.none(), nano, st.integers(1, 3_000_000))
DAYS = st.sampled_from([1, 2, 25])


class CorrectionRules(LedgerBase):
    """What operators and payment providers do afterwards."""

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        self.refunds: list[tuple[UUID, str | None, dict[str, Any]]] = []
        self.paid: dict[str, ModelPayment] = {}
        self.disputes: dict[str, ModelDispute] = {}

    @precondition(lambda self: self.charged)
    @operation("refunds", which=pick, amount=AMOUNTS, named=st.booleans())
    def refund(self, which: int, amount: int | None, named: bool) -> None:
        hold = self.charged[which % len(self.charged)]
        request_id, hold_id = hold.request.request_id, hold.request.hold_id if named else None
        refusal = correcting.refusal_of_refund(self.model, request_id, amount, hold_id)
        text = None if amount is None else format_amount(amount)
        fields: dict[str, Any] = {"key": new_id().hex, "hold_id": hold_id}
        self.unless(refusal, lambda: self.ledger.refund(self.account, request_id, text, **fields))
        if refusal is None:
            (charged,) = [each for each in correcting.charged_holds(self.model, request_id) if not named or each is hold]
            correcting.refund(self.model, charged, amount)
            self.refunds.append((request_id, text, fields))

    @precondition(lambda self: self.refunds)
    @operation("refunds", which=pick, forged=st.booleans())
    def refund_again_under_the_same_key(self, which: int, forged: bool) -> None:
        request_id, text, fields = self.refunds[which % len(self.refunds)]
        if forged:
            with pytest.raises(ConflictError):
                self.ledger.refund(self.account, request_id, "0.77", **fields)
        else:
            self.ledger.refund(self.account, request_id, text, **fields)

    @precondition(lambda self: self.asked)
    @operation("refunds", which=pick)
    def refund_whatever_was_asked_for(self, which: int) -> None:
        request_id = self.asked[which % len(self.asked)][0].request_id
        refusal = correcting.refusal_of_refund(self.model, request_id, None, None)
        self.unless(refusal, lambda: self.ledger.refund(self.account, request_id, None, key=new_id().hex, hold_id=None))
        if refusal is None:
            correcting.refund(self.model, correcting.charged_holds(self.model, request_id)[0], None)

    @operation("refunds", bucket=buckets, amount=nano, give=st.booleans())
    def adjust(self, bucket: str, amount: int, give: bool) -> None:
        signed = amount if give else -amount
        refusal = correcting.refusal_of_adjustment(self.model, bucket, signed)
        text = format_amount(signed)
        self.unless(refusal, lambda: self.ledger.adjust(self.account, bucket, text, key=new_id().hex))
        if refusal is None:
            correcting.adjust(self.model, bucket, signed)

    @operation("credit", bucket=buckets, amount=nano, days=DAYS)
    def promote(self, bucket: str, amount: int, days: int) -> None:
        expires_at = self.clock.now + timedelta(days=days)
        answer = self.ledger.promote(self.account, bucket, format_amount(amount), expires_at, key=new_id().hex)
        correcting.promote(self.model, bucket, amount, UUID(answer["promotion_id"]), expires_at)

    @precondition(lambda self: any(pot.purse.lots for pot in self.model.pots.values()))
    @operation("credit", days=st.integers(0, 2))
    def expire_promotions(self, days: int) -> None:
        self.clock.move(timedelta(days=days))
        assert dict(self.ledger.expire_promotions(self.clock.now)) == correcting.expire_promotions(self.model)

    @operation("credit", which=pick, amount=AMOUNTS)
    def charge_back(self, which: int, amount: int | None) -> None:
        bucket, paid, payment_id = self.payments[which % len(self.payments)]
        payment = self.paid.setdefault(payment_id, ModelPayment(bucket, parse_amount(paid)))
        refusal = correcting.refusal_of_chargeback(payment, amount)
        text, dispute_id = None if amount is None else format_amount(amount), new_id().hex
        self.unless(refusal, lambda: self.ledger.charge_back(payment_id, text, dispute_id=dispute_id))
        if refusal is None:
            self.disputes[dispute_id] = correcting.charge_back(self.model, payment, amount)

    @precondition(lambda self: self.disputes)
    @operation("credit", which=pick, again=st.booleans())
    def win_a_dispute(self, which: int, again: bool) -> None:
        dispute_id = list(self.disputes)[which % len(self.disputes)]
        dispute = self.disputes[dispute_id]
        # The same words under the same dispute are the same reinstatement: they change nothing.
        for _ in range(2 if again else 1):
            self.ledger.reinstate(dispute_id)
        if not dispute.reinstated:
            correcting.reinstate(self.model, dispute)

    @precondition(lambda self: +self.model.cases)
    @operation("letters", which=pick)
    def close_a_case(self, which: int) -> None:
        kinds = sorted(+self.model.cases)
        kind = kinds[which % len(kinds)]
        self.ledger.close_a_case(kind)
        self.model.cases[kind] -= 1

    @precondition(lambda self: self.model.dead_letters)
    @operation("letters", limit=st.integers(1, 5))
    def read_dead_letters_again(self, limit: int) -> None:
        assert self.ledger.redrive(limit) == self.settling.redrive(limit)

    @operation("operators", limit=st.integers(1, 40))
    def seal_some(self, limit: int) -> None:
        """Numbered, chained, hashed and signed; I11 goes on to hold after every step."""
        self.ledger.seal(limit)

    @property
    def charged(self) -> list[ModelHold]:
        """Holds that were charged something."""
        return [hold for hold in self.model.holds.values() if hold.charged_nano > 0]
