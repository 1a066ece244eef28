"""`GET /admin/usage`, and the same for edge, which answers `/v1/usage` with it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response, StreamingResponse

from schemas.access import ALL
from services.analytics.admin_api import bearer_only, json_response
from services.analytics.admin_calls import Caller, operation
from services.analytics.usage_api.desk import MOST_ROWS, UsageDesk
from services.analytics.usage_api.models import UsageReport
from services.analytics.usage_api.question import Question, keys_of, question
from services.analytics.warehouse import Warehouse

CSV = "text/csv"
CSV_HEADERS = {"content-disposition": 'attachment; filename="usage.csv"', "cache-control": "no-store"}
Text = Annotated[str | None, Query(max_length=256)]
SHOWN: dict[int | str, dict[str, Any]] = {200: {"content": {CSV: {"schema": {"type": "string"}}}}}


@dataclass(kw_only=True)
class UsageQuery:
    """What a report is asked for. The range is the last seven days where it is not said."""

    since: Annotated[
        str | None, Query(alias="from", max_length=64, description="A date, its midnight in the time zone, or an instant.")
    ] = None
    until: Annotated[str | None, Query(alias="to", max_length=64, description="Likewise, not included.")] = None
    timezone: Annotated[str, Query(max_length=256, description="In which days begin at midnight.")] = "UTC"
    by: Annotated[
        str,
        Query(
            max_length=600,
            description="At most two of account, project, key, run, model, upstream_model, route_type, channel, bucket, tag"
            " and tag:NAME, separated by commas.",
        ),
    ] = ""
    interval: Annotated[Literal["none", "day", "hour"], Query()] = "none"
    project_id: Text = None
    key_id: Text = None
    run_id: Text = None
    model: Annotated[str | None, Query(max_length=256, description="As it was asked for.")] = None
    upstream_model: Text = None
    route_type: Text = None
    channel: Text = None
    bucket: Text = None
    tag: Annotated[list[str] | None, Query(description="A name, or name=value; all that are given have to be there.")] = None
    after: Annotated[str | None, Query(max_length=4096, description="The next_after of the page before.")] = None
    limit: Annotated[int, Query(ge=1, le=MOST_ROWS)] = 100
    format: Annotated[
        Literal["json", "csv"] | None, Query(description="csv: all pages at once; so does `Accept: text/csv`.")
    ] = None

    def question(self, accounts: frozenset[str] | None, *, shows_channels: bool) -> Question:
        """What it asks about some accounts, or about all. Raises QueryRefusedError."""
        filters: Mapping[str, str | None] = {
            "project_id": self.project_id,
            "key_id": self.key_id,
            "run_id": self.run_id,
            "model": self.model,
            "upstream_model": self.upstream_model,
            "route_type": self.route_type,
            "channel": self.channel,
            "bucket": self.bucket,
        }
        span = (self.since, self.until, self.timezone)
        return question(
            *span,
            self.by,
            self.interval,
            filters,
            self.tag or [],
            datetime.now(UTC),
            shows_channels=shows_channels,
            accounts=accounts,
        )


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
    return json_response(await desk.page(about, asked.limit, keys_of(asked.after) if asked.after else None))
