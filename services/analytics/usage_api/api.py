"""`GET /admin/usage`, and the same for edge, which answers `/v1/usage` with it."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response, StreamingResponse

from schemas.access import ALL
from schemas.money import INT64_MAX
from services.analytics.admin_api import bearer_only, json_response
from services.analytics.admin_calls import Caller, operation
from services.analytics.usage_api.desk import MOST_ROWS, UsageDesk
from services.analytics.usage_api.filters import UsageFilters
from services.analytics.usage_api.models import UsageReport
from services.analytics.usage_api.question import Question, keys_of
from services.analytics.warehouse import Warehouse

CSV = "text/csv"
CSV_HEADERS = {"content-disposition": 'attachment; filename="usage.csv"', "cache-control": "no-store"}
SHOWN: dict[int | str, dict[str, Any]] = {200: {"content": {CSV: {"schema": {"type": "string"}}}}}


@dataclass(kw_only=True)
class UsageQuery(UsageFilters):
    """What a report is asked for."""

    by: Annotated[
        str,
        Query(
            max_length=600,
            description="At most two of account, project, key, run, model, upstream_model, route_type, channel, bucket, tag"
            " and tag:NAME, separated by commas.",
        ),
    ] = ""
    interval: Annotated[Literal["none", "day", "hour"], Query()] = "none"
    after: Annotated[str | None, Query(max_length=4096, description="The next_after of the page before.")] = None
    limit: Annotated[int, Query(ge=1, le=MOST_ROWS)] = 100
    format: Annotated[
        Literal["json", "csv"] | None, Query(description="csv: all pages at once; so does `Accept: text/csv`.")
    ] = None

    def question(self, accounts: frozenset[str] | None, *, shows_channels: bool) -> Question:
        """What it asks about some accounts, or about all. Raises QueryRefusedError."""
        return self.asked(accounts, shows_channels=shows_channels, by=self.by, interval=self.interval)


Asked = Annotated[UsageQuery, Depends()]


def admin_router(warehouse: Warehouse) -> APIRouter:
    """The route under `/admin`."""
    routes, desk = APIRouter(prefix="/admin"), UsageDesk(warehouse)
    declared = operation("usage.read", "Report usage and its cost", about="query")

    @routes.get("/usage", response_model=UsageReport, **declared | {"responses": declared["responses"] | SHOWN})
    async def get_usage(
        request: Request, caller: Caller, asked: Asked, account_id: Annotated[str | None, Query(max_length=128)] = None
    ) -> Response:
        """Of one account or of all that the caller may see; channels are for roles of the installation."""
        narrowed = frozenset({account_id}) if account_id is not None else caller.accounts_with("usage.read")
        accounts = None if narrowed is ALL else narrowed
        return await _answer(desk, request, asked, asked.question(accounts, shows_channels=caller.of_installation))

    return routes


def internal_router(warehouse: Warehouse, edge_token: str) -> APIRouter:
    """The route under `/internal`, for edge."""
    routes = APIRouter(prefix="/internal", include_in_schema=False, dependencies=[Depends(bearer_only(edge_token))])
    desk = UsageDesk(warehouse)

    @routes.get("/accounts/{account_id}/usage")
    async def get_usage_of_account(request: Request, account_id: str, asked: Asked) -> Response:
        return await _answer(desk, request, asked, asked.question(frozenset({account_id}), shows_channels=False))

    return routes


async def _answer(desk: UsageDesk, request: Request, asked: UsageQuery, about: Question) -> Response:
    accepts = request.headers.get("accept", "").startswith(CSV)
    if asked.format == "csv" or (asked.format is None and accepts):
        return StreamingResponse(await desk.lines(about), media_type=CSV, headers=CSV_HEADERS)
    page = await desk.page(about, asked.limit, keys_of(asked.after) if asked.after else None)
    for summed in (page["totals"], *page["data"]):
        for cost in summed["costs"]:
            cost["cost_nano"] = digits(cost["cost_nano"])
    return json_response(page)


def digits(nano: int) -> int | orjson.Fragment:
    """An amount for orjson, which writes no integers of more than 64 bits: a sum over accounts in small units may be one."""
    return nano if abs(nano) <= INT64_MAX else orjson.Fragment(str(nano))


def sized(value: Any) -> Any:
    """What is answered, with every integer in it as orjson writes it."""
    if isinstance(value, dict):
        return {name: sized(each) for name, each in value.items()}
    if isinstance(value, list):
        return [sized(each) for each in value]
    return digits(value) if isinstance(value, int) else value
