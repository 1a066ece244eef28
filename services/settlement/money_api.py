"""What operators do to balances beside payments: refunds, adjustments, promotions, chargebacks. Under `/admin`."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, TypeVar

import psycopg
from fastapi import APIRouter, Response
from psycopg.rows import TupleRow

from services.settlement import adjustment_store, chargeback_store, refund_store
from services.settlement.adjustments import Adjustment
from services.settlement.admin_calls import CHANGING, AdminCall, Named, Repeatable, operation
from services.settlement.admin_models import (
    AdjustmentReply,
    ChargebackReply,
    Moved,
    PromotionReply,
    RefundReply,
    ReinstatementReply,
)
from services.settlement.audit_log import Change
from services.settlement.book_store import BookStore
from services.settlement.changes import Made, change
from services.settlement.chargebacks import Chargeback, Reinstatement
from services.settlement.correction_store import CaseTerms
from services.settlement.entities import Entities
from services.settlement.once import refuse_unless_posted
from services.settlement.promotions import Promotion
from services.settlement.refunds import Refund

Connection = psycopg.Connection[TupleRow]
Connect = Callable[[], AbstractContextManager[Connection]]
Asked = TypeVar("Asked", Refund, Adjustment, Promotion, Chargeback, Reinstatement)


def money_routes(router: APIRouter, connect: Connect, books: BookStore, entities: Entities, terms: CaseTerms) -> None:
    """Add the routes. Each is idempotent for ever by its key: 201 when it is posted, 200 with the stored answer afterwards.

    Nothing is given to an account that there is not. What one has got nevertheless, in an earlier release, can be taken back.
    """

    @router.post("/refunds", **_posting(RefundReply, "Refund a charge", about="body"))
    def refund(asked: Refund, call: Repeatable) -> Response:
        """Back to the bucket that paid; an amount of null is all that is left."""
        mine = signed(call, asked)
        return change(connect, call, lambda at: posted("refund", mine.key, refund_store.refund(at, mine)))

    @router.post("/adjustments", **_posting(AdjustmentReply, "Adjust a balance by hand", about="body"))
    def adjust(asked: Adjustment, call: Repeatable) -> Response:
        """A negative amount takes from the bucket, never more than is available."""
        books.refresh()
        mine = signed(call, asked)
        refusal = entities.account_refusal(mine.account_id) if mine.amount_nano > 0 else None

        def make(connection: Connection) -> Made:
            refuse_unless_posted(connection, mine.idem_key, mine.request_hash, refusal)
            return posted("adjustment", mine.key, adjustment_store.adjust(connection, mine, books.in_force))

        return change(connect, call, make)

    @router.post("/promotions", **_posting(PromotionReply, "Give credit that expires", about="body"))
    def grant(asked: Promotion, call: Repeatable) -> Response:
        """What of it is not spent at `expires_at` is taken back."""
        books.refresh()
        mine = signed(call, asked)
        refusal = entities.account_refusal(mine.account_id)

        def make(connection: Connection) -> Made:
            refuse_unless_posted(connection, mine.idem_key, mine.request_hash, refusal)
            return posted("promotion", mine.key, adjustment_store.grant(connection, mine, books.in_force))

        return change(connect, call, make)

    @router.post("/chargebacks", **_posting(ChargebackReply, "Take back a disputed payment"))
    def charge_back(asked: Chargeback, call: Repeatable) -> Response:
        """Takes what is available; the rest is owed."""
        mine = signed(call, asked)
        entity = f"{mine.provider}:{mine.dispute_id}"
        return change(connect, call, lambda at: posted("chargeback", entity, chargeback_store.charge_back(at, mine, terms)))

    @router.post("/reinstatements", **_posting(ReinstatementReply, "Give a payment again after a won dispute"))
    def reinstate(asked: Reinstatement, call: Repeatable) -> Response:
        """An amount of null is all that the dispute took."""
        mine = signed(call, asked)
        entity = f"{mine.provider}:{mine.dispute_id}"
        return change(connect, call, lambda at: posted("reinstatement", entity, chargeback_store.reinstate(at, mine)))


def signed(call: AdminCall, asked: Asked) -> Asked:
    """What is asked for, with its author: a user's own name stands in place of whatever the body says."""
    return asked.model_copy(update={"author": call.author(asked.author)})


def posted(kind: str, entity: str, result: tuple[dict[str, Any], bool]) -> Made:
    """What a call that moves money came to: 201 and an entry in the audit log when it is posted, 200 afterwards."""
    answer, new = result
    entry = Change(
        action=f"{kind}.post",
        entity_kind=kind,
        entity_id=entity,
        account_id=answer["account_id"],
        before={"balance_nano": answer["balance"]["before_nano"]},
        after=answer,
        reason=answer.get("reason"),
        author=answer.get("author"),
    )
    return Made(answer=answer, status=201 if new else 200, changes=[entry] if new else [])


def _posting(model: type[Moved], summary: str, *, about: Named = "installation") -> dict[str, Any]:
    replies = {"status_code": 201, "response_model": model}
    return replies | operation("money.write", summary, about=about, errors=[404, *CHANGING], again=model)
