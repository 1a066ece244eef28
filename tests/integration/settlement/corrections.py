"""Money that moves beside requests, in a test's hands."""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import psycopg
from psycopg.rows import TupleRow

from schemas.envelope import now
from services.settlement import adjustment_store, chargeback_store, credit_expiry, refund_store
from services.settlement.adjustments import Adjustment
from services.settlement.book_store import BookStore
from services.settlement.chargebacks import Chargeback, Reinstatement
from services.settlement.correction_store import CaseTerms
from services.settlement.promotions import Promotion
from services.settlement.refunds import Refund

SAID = {"reason": "a test", "author": "test"}
CASES = CaseTerms(owner="test", max_age_days=1)


class Corrections:
    """A part of a ledger: refunds, adjustments, promotions, chargebacks. Each is a new one unless its key or id is given."""

    connection: psycopg.Connection[TupleRow]
    books: BookStore

    def refund(
        self, account: str, request_id: UUID, amount: str | None = None, *, key: str | None = None, **fields: Any
    ) -> dict[str, Any]:
        """A refund; everything that is left unless an amount is given, a new one unless its key is given."""
        body = {"account_id": account, "request_id": request_id, "amount": amount, "key": key or uuid4().hex} | SAID | fields
        return refund_store.refund(self.connection, Refund.model_validate(body))[0]

    def adjust(self, account: str, bucket: str, amount: str, *, key: str | None = None) -> dict[str, Any]:
        """An adjustment: a new one unless its key is given."""
        body = {"account_id": account, "bucket": bucket, "amount": amount, "key": key or uuid4().hex} | SAID
        return adjustment_store.adjust(self.connection, Adjustment.model_validate(body), self.books.in_force)[0]

    def promote(
        self, account: str, bucket: str, amount: str, expires_at: datetime, *, key: str | None = None
    ) -> dict[str, Any]:
        """Promotional credit: a new lot unless its key is given."""
        body = {"account_id": account, "bucket": bucket, "amount": amount, "expires_at": expires_at, "key": key or uuid4().hex}
        return adjustment_store.grant(self.connection, Promotion.model_validate(body | SAID), self.books.in_force)[0]

    def expire_promotions(self, at: datetime | None = None) -> list[tuple[UUID, int]]:
        """Expire the credit that is over at an instant, or now: (promotion, nano) of each part."""
        instant = at or now()
        accounts = credit_expiry.due(self.connection, now=instant, after=0, limit=10_000)
        return [part for account in accounts for part in credit_expiry.expire_credit(self.connection, account, now=instant)]

    def charge_back(
        self, payment_id: str, amount: str | None = None, *, dispute_id: str | None = None, provider: str = "bank"
    ) -> dict[str, Any]:
        """A chargeback; all that is left of the payment unless an amount is given, a new dispute unless its id is given."""
        body = {"provider": provider, "payment_id": payment_id, "dispute_id": dispute_id or uuid4().hex, "amount": amount}
        return chargeback_store.charge_back(self.connection, Chargeback.model_validate(body | SAID), CASES)[0]

    def reinstate(self, dispute_id: str, amount: str | None = None, *, provider: str = "bank") -> dict[str, Any]:
        """The end of a dispute that was won."""
        body = {"provider": provider, "dispute_id": dispute_id, "amount": amount} | SAID
        return chargeback_store.reinstate(self.connection, Reinstatement.model_validate(body))[0]
