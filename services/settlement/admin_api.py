"""What operators do and ask: payments, limits, balances, postings, lag."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Annotated, Any, Protocol

import psycopg
from fastapi import APIRouter, Query, Response
from psycopg.rows import TupleRow

from schemas import topics
from services.settlement import balance_store, limit_store, topup_store
from services.settlement.admin_calls import CHANGING, Repeatable, operation
from services.settlement.admin_models import (
    Balances,
    CostCentreReply,
    Lag,
    LimitReply,
    LimitRow,
    Page,
    PostingsPage,
    ToppedUpReply,
)
from services.settlement.audit_log import Change
from services.settlement.book_store import BookStore
from services.settlement.changes import Made, Reply, change, page_of
from services.settlement.correction_store import CaseTerms
from services.settlement.cost_centres import CostCentre, open_cost_centre
from services.settlement.entities import Entities
from services.settlement.history_api import history_routes
from services.settlement.money_api import money_routes, posted
from services.settlement.money_in import LimitChange, Name, TopUp
from services.settlement.once import refuse_unless_posted

Connection = psycopg.Connection[TupleRow]
Connect = Callable[[], AbstractContextManager[Connection]]


class EndOffsets(Protocol):
    """Asks Kafka where the partitions of a topic end."""

    async def end_offsets(self, topic: str) -> Mapping[int, int] | None:
        """End by partition; None while Kafka does not answer."""
        ...


def admin_router(*, connect: Connect, books: BookStore, entities: Entities, ends: EndOffsets, terms: CaseTerms) -> APIRouter:
    """The routes under `/admin`. Handlers that block run in FastAPI's threads."""
    router = APIRouter(prefix="/admin")
    _payment_routes(router, connect, books, entities)
    _limit_routes(router, connect, books, entities)
    money_routes(router, connect, books, entities, terms)
    history_routes(router, connect)
    _reading_routes(router, connect, ends)
    return router


def _payment_routes(router: APIRouter, connect: Connect, books: BookStore, entities: Entities) -> None:
    @router.post(
        "/topups",
        status_code=201,
        response_model=ToppedUpReply,
        **operation("money.write", "Add a payment", about="body", errors=CHANGING, again=ToppedUpReply),
    )
    def add_payment(asked: TopUp, call: Repeatable) -> Response:
        """Once for ever: the same payment again is answered with 200 and the stored answer."""
        books.refresh()
        refusal = entities.account_refusal(asked.account_id)

        def make(connection: Connection) -> Made:
            refuse_unless_posted(connection, asked.idem_key, asked.request_hash, refusal)
            entity = f"{asked.provider}:{asked.payment_id}"
            return posted("topup", entity, topup_store.top_up(connection, asked, books.in_force))

        return change(connect, call, make)


def _limit_routes(router: APIRouter, connect: Connect, books: BookStore, entities: Entities) -> None:
    @router.post(
        "/limits", response_model=LimitReply, **operation("budget.write", "Set a limit", about="body", errors=CHANGING)
    )
    def set_limit(asked: LimitChange, call: Repeatable) -> Response:
        """A limit of null removes it; what is spent goes on being counted. What is limited must exist, in that account."""
        author = call.author(asked.author)
        entities.require(asked)

        def make(connection: Connection) -> Made:
            before = limit_store.limit_under_lock(connection, asked)
            after = limit_store.set_limit(connection, asked, author=author)
            return Made(answer=after, changes=[limit_change("limit.set", asked, before, after)])

        return change(connect, call, make)

    @router.post(
        "/cost-centres",
        status_code=201,
        response_model=CostCentreReply,
        **operation("budget.write", "Open a cost centre", about="body", errors=CHANGING),
    )
    def open_centre(asked: CostCentre, call: Repeatable) -> Response:
        """A bucket that its limit funds; asked again, the limit is set anew."""
        books.refresh()
        author = call.author(asked.author)
        entities.require_account(asked.account_id)

        def make(connection: Connection) -> Made:
            limit = asked.as_limit(books.in_force)
            before = limit_store.limit_under_lock(connection, limit)
            after = open_cost_centre(connection, asked, books.in_force, author=author)
            return Made(answer=after, status=201, changes=[limit_change("cost_centre.open", limit, before, after)])

        return change(connect, call, make)

    @router.get(
        "/limits", response_model=Page[LimitRow], **operation("budget.read", "List the limits of an account", about="query")
    )
    def list_limits(account_id: Name, after: int | None = None, limit: Annotated[int, Query(ge=1, le=500)] = 100) -> Response:
        """By kind and id, with what the newest window of each holds."""
        with connect() as connection:
            found = limit_store.limits(connection, account_id, after=after, limit=limit + 1)
        return Reply(page_of(found, limit, lambda row: row["number"]))


def limit_change(action: str, asked: LimitChange, before: dict[str, Any] | None, after: dict[str, Any]) -> Change:
    """A limit's entry in the audit log."""
    return Change(
        action=action,
        entity_kind=asked.kind,
        entity_id=asked.id,
        account_id=asked.account_id,
        before=before,
        after=after,
        author=after["changed_by"],
    )


def _reading_routes(router: APIRouter, connect: Connect, ends: EndOffsets) -> None:
    @router.get(
        "/accounts/{account_id}/balances",
        response_model=Balances,
        **operation("budget.read", "Show the balances of an account", about="path"),
    )
    def show_balances(account_id: str) -> Response:
        """Every bucket; an account that never had a payment has none."""
        with connect() as connection:
            return Reply({"data": balance_store.balances(connection, account_id)})

    @router.get(
        "/accounts/{account_id}/postings",
        response_model=PostingsPage,
        **operation("budget.read", "List what moved a bucket", about="path"),
    )
    def list_postings(
        account_id: str,
        bucket: Name,
        after: Annotated[int, Query(ge=0, le=2**62)] = 0,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> Response:
        """Oldest first: each `before_nano` is the `after_nano` of the one before it."""
        with connect() as connection:
            return Reply(balance_store.postings(connection, account_id, bucket, after=after, limit=limit))

    @router.get("/lag", response_model=Lag, **operation("ledger.read", "Show how far the ledger is"))
    async def show_lag() -> Response:
        """The ledger's offset in each partition, and what waits."""

        def read() -> dict[str, Any]:
            with connect() as connection:
                return balance_store.pending(connection, topics.ATTEMPTS)

        found = await asyncio.to_thread(read)
        end = await ends.end_offsets(topics.ATTEMPTS)
        return Reply({"partitions": partitions(found.pop("offsets"), end), **found})


def partitions(offsets: Mapping[int, int], ends: Mapping[int, int] | None) -> list[dict[str, Any]]:
    """Each partition's next and end; end and lag are None while Kafka does not answer."""
    return [
        {
            "topic": topics.ATTEMPTS,
            "partition": partition,
            "next": offsets.get(partition, 0),
            "end": None if ends is None else ends[partition],
            "lag": None if ends is None else ends[partition] - offsets.get(partition, 0),
        }
        for partition in sorted(offsets if ends is None else ends)
    ]
