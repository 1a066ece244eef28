"""The calls of the drill-down: `GET /admin/requests`, receipts, and how far the ledger is."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request
from fastapi import Path as InPath
from starlette.responses import Response

from schemas.access import ALL, Accounts
from services.analytics.admin_api import Since, Until, as_utc, json_response
from services.analytics.admin_calls import Caller, operation, permit
from services.analytics.drilldown.desk import RequestDesk
from services.analytics.drilldown.ledger_lag import LedgerLag as Lag
from services.analytics.drilldown.models import LedgerLag, Receipt, RequestsPage
from services.analytics.drilldown.peer import AUTHORIZATION, Peer, one_segment
from services.analytics.drilldown.question import Filter, Place, Question
from services.analytics.errors import UnknownAccountError
from services.analytics.warehouse import Warehouse

PAGE = 50
MOST = 500
Text = Annotated[str, Query(max_length=256)]
Tag = Annotated[str, Query(max_length=300, pattern="^$|^[^=]+=.*$", description="`name=value`.")]
Outcome = Literal["succeeded", "failed", "cancelled", "rejected"]
AccountId = Annotated[str | None, Query(min_length=1, max_length=128)]
IdInPath = Annotated[str, InPath(max_length=128)]


@dataclass(kw_only=True)
class RequestsQuery:
    """Which requests: those that ended in the last hour where no time is said."""

    since: Since = None
    until: Until = None
    project_id: Text = ""
    key_id: Text = ""
    run_id: Text = ""
    tag: Tag = ""
    model: Annotated[str, Query(max_length=256, description="As it was asked for, or as it answered.")] = ""
    channel: Annotated[str, Query(max_length=256, description="That answered, or failed last.")] = ""
    outcome: Annotated[list[Outcome] | None, Query(description="One of those given; without it, any.")] = None
    error: Annotated[str, Query(max_length=256, description="The class of the failure or the code of the refusal.")] = ""
    fallbacks: Annotated[bool, Query(description="Only those that fell back to another channel.")] = False
    burned: Annotated[bool, Query(description="Only those with tokens that nobody is charged for.")] = False
    failed_on: Annotated[
        str, Query(max_length=256, description="A channel on which a call failed (`error`: why), however the request ended.")
    ] = ""
    fell_from: Annotated[str, Query(max_length=256, description="A channel that was left for another (`error`: why).")] = ""
    fell_to: Annotated[str, Query(max_length=256, description="The channel that was turned to.")] = ""
    after: Annotated[str | None, Query(max_length=64, description="The next_after of the page before.")] = None
    limit: Annotated[int, Query(ge=1, le=MOST)] = PAGE

    def question(self, accounts: Accounts) -> Question:
        """What it asks, of some accounts or of all. Raises QueryRefusedError."""
        end = as_utc(self.until, "to") or datetime.now(UTC) + timedelta(seconds=1)
        words = ("project_id", "key_id", "run_id", "tag", "model", "channel", "error", "failed_on", "fell_from", "fell_to")
        only = Filter(
            accounts=None if accounts is ALL else accounts,
            outcomes=tuple(self.outcome or ()),
            fallbacks=self.fallbacks,
            burned=self.burned,
            **{name: getattr(self, name) for name in words},
        )
        return Question(
            since=as_utc(self.since, "from") or end - timedelta(hours=1),
            until=end,
            only=only,
            after=Place.read(self.after) if self.after else None,
            limit=self.limit,
        )


def router(warehouse: Warehouse, listing: Warehouse, edge: Peer, settlement: Peer) -> APIRouter:
    """The routes under `/admin`. Lists read raw rows for members of accounts, too: over `listing`, which nothing else needs."""
    routes = APIRouter(prefix="/admin")
    _add_requests(routes, RequestDesk(listing))
    _add_receipts(routes, edge)
    _add_ledger(routes, Lag(settlement, warehouse))
    return routes


def _add_requests(routes: APIRouter, desk: RequestDesk) -> None:
    @routes.get("/requests", response_model=RequestsPage, **operation("usage.read", "List requests that ended", about="query"))
    async def list_requests(
        caller: Caller, asked: Annotated[RequestsQuery, Depends()], account_id: AccountId = None
    ) -> Response:
        """Newest first, refused ones among them, of one account or of all that the caller may see.

        With `failed_on`, `fell_from` or `fell_to` the order is that of the upstream calls, and a request shows once it has
        ended: a page may be short and have a `next_after` nevertheless.
        """
        accounts = frozenset({account_id}) if account_id else caller.accounts_with("usage.read")
        return json_response(await desk.page(asked.question(accounts)))


def _add_receipts(routes: APIRouter, edge: Peer) -> None:
    @routes.get(
        "/accounts/{account_id}/receipts/{request_id}",
        response_model=Receipt,
        **operation("usage.read", "Get a receipt", about="entity"),
    )
    async def get_receipt(request: Request, account_id: IdInPath, request_id: IdInPath, caller: Caller) -> Response:
        """The receipt of one of the account's requests, asked of edge with the caller's own token."""
        permit(caller, "usage.read", account_id, UnknownAccountError(account_id))
        path = f"/admin/accounts/{one_segment(account_id)}/receipts/{one_segment(request_id)}"
        reply = await edge.get(path, request.headers.get(AUTHORIZATION, ""))
        return Response(reply.content, reply.status_code, {"cache-control": "no-store"}, "application/json")


def _add_ledger(routes: APIRouter, lag: Lag) -> None:
    @routes.get("/dashboard/ledger", response_model=LedgerLag, **operation("ledger.read", "Show how far the ledger is behind"))
    async def show_ledger_lag(request: Request) -> Response:
        """As settlement tells the caller; that it is away is an answer, too."""
        return json_response(await lag.now(request.headers.get(AUTHORIZATION, "")))
