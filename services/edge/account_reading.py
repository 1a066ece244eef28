"""An account's receipts and runs for whoever may read them with an access token or the admin token, without an API key."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field

from schemas.envelope import Identifier
from schemas.runs import RunState
from services.edge.access_rules import AccessRules, EntityId
from services.edge.admin_models import Page
from services.edge.memberships import known_form
from services.edge.receipt_search import find_receipt
from services.edge.receipt_text import render_receipt
from services.edge.rejections import Rejections
from services.edge.run_text import render_run
from services.edge.settlement import Settlement

Format = Annotated[Literal["json", "text"], Query(description="`text` is for people.")]
OneId = Annotated[str, Path(max_length=128)]
AS_TEXT = {"text/plain": {"schema": {"type": "string"}}}


class Receipt(BaseModel):
    """The receipt of a request, as clients get it (see docs/contracts.md, "The receipt")."""

    model_config = ConfigDict(extra="allow")

    object: Literal["receipt"]
    request_id: str
    status: str
    account_id: str


class Run(BaseModel):
    """A run with its budgets; one alone comes with its whole account."""

    model_config = ConfigDict(extra="allow")

    object: Literal["run"] = "run"
    id: str
    state: str


class RunsQuery(BaseModel):
    """Which runs."""

    state: RunState | None = None
    key_id: Identifier | None = None
    after: Identifier | None = None
    limit: Annotated[int, Field(ge=1, le=500)] = 100


def account_reading_routes(settlement: Settlement, rejections: Rejections, rules: AccessRules) -> APIRouter:
    """The routes."""
    routes = APIRouter()
    _add_receipts(routes, settlement, rejections, rules)
    _add_runs(routes, settlement, rules)
    return routes


def _add_receipts(routes: APIRouter, settlement: Settlement, rejections: Rejections, rules: AccessRules) -> None:
    may = _or_text(rules.entity("usage.read", "account"))

    @routes.get("/accounts/{entity_id}/receipts/{request_id}", response_model=Receipt, summary="Get a receipt", **may)
    async def get_receipt(entity_id: EntityId, request_id: OneId, format: Format = "json") -> Any:
        """The receipt of one of the account's requests, refused ones included."""
        receipt = await find_receipt(settlement, rejections, entity_id, request_id)
        return PlainTextResponse(render_receipt(receipt)) if format == "text" else receipt


def _add_runs(routes: APIRouter, settlement: Settlement, rules: AccessRules) -> None:
    may = rules.entity("budget.read", "account")

    @routes.get("/accounts/{entity_id}/runs", response_model=Page[Run], summary="List runs", **may)
    async def list_runs(entity_id: EntityId, asked: Annotated[RunsQuery, Query()]) -> Mapping[str, Any]:
        """The account's runs, the newest first."""
        query = {name: str(value) for name, value in asked.model_dump(exclude_none=True).items()}
        return await settlement.read(entity_id, "runs", query=query)

    may = _or_text(rules.entity("budget.read", "account"))

    @routes.get("/accounts/{entity_id}/runs/{run_id}", response_model=Run, summary="Get a run", **may)
    async def get_run(entity_id: EntityId, run_id: OneId, format: Format = "json") -> Any:
        """One run with its whole account: totals, retries, fallbacks, what failures burned, the first 1,000 of its timeline."""
        run = await settlement.read(entity_id, "runs", known_form(run_id), query={"limit": "1000"})
        return PlainTextResponse(render_run(run)) if format == "text" else run


def _or_text(route: dict[str, Any]) -> dict[str, Any]:
    """A route that may answer people as well."""
    responses = {**route["responses"], 200: {"content": AS_TEXT, "description": "As JSON, or as text."}}
    return {**route, "responses": responses}
