"""`GET /admin/usage/explain`, and the same for edge, which answers `/v1/usage/explain` with it."""

from dataclasses import dataclass, replace
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from schemas.access import ALL
from services.analytics.admin_api import bearer_only, json_response
from services.analytics.admin_calls import Caller, operation
from services.analytics.usage_api.api import sized
from services.analytics.usage_api.explain_desk import ExplainDesk
from services.analytics.usage_api.explain_models import UsageExplanation
from services.analytics.usage_api.filters import UsageFilters
from services.analytics.usage_api.question import Question, span_against


@dataclass(kw_only=True)
class ExplainQuery(UsageFilters):
    """Two spans: the later one, and what it is compared with, which is by default as long and lies right before."""

    against_since: Annotated[
        str | None, Query(alias="against_from", max_length=64, description="A date or an instant, as `from`.")
    ] = None
    against_until: Annotated[str | None, Query(alias="against_to", max_length=64, description="Likewise, not included.")] = None

    def spans(self, accounts: frozenset[str] | None, *, shows_channels: bool) -> tuple[Question, Question]:
        """What to compare: the span before, and the one after. Raises QueryRefusedError."""
        after = self.asked(accounts, shows_channels=shows_channels)
        begin, end = span_against(self.against_since, self.against_until, after)
        return replace(after, since=begin, until=end), after


Asked = Annotated[ExplainQuery, Depends()]


def admin_router(desk: ExplainDesk) -> APIRouter:
    """The route under `/admin`."""
    routes = APIRouter(prefix="/admin")
    declared = operation("usage.read", "Explain why cost changed", about="query")

    @routes.get("/usage/explain", response_model=UsageExplanation, **declared)
    async def explain_usage(
        caller: Caller, asked: Asked, account_id: Annotated[str | None, Query(max_length=128)] = None
    ) -> Response:
        """Of one account or of all that the caller may see: the change split into effects that add up to it.

        The channel is a filter for roles of the installation.
        """
        narrowed = frozenset({account_id}) if account_id is not None else caller.accounts_with("usage.read")
        accounts = None if narrowed is ALL else narrowed
        return json_response(sized(await desk.explain(*asked.spans(accounts, shows_channels=caller.of_installation))))

    return routes


def internal_router(desk: ExplainDesk, edge_token: str) -> APIRouter:
    """The route under `/internal`, for edge."""
    routes = APIRouter(prefix="/internal", include_in_schema=False, dependencies=[Depends(bearer_only(edge_token))])

    @routes.get("/accounts/{account_id}/usage/explain")
    async def explain_usage_of_account(account_id: str, asked: Asked) -> Response:
        return json_response(sized(await desk.explain(*asked.spans(frozenset({account_id}), shows_channels=False))))

    return routes
