"""`POST /admin/route-plans`: where a key's request would go, and why; its policies from here, its money from settlement."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field

from schemas.calls import RouteLimit
from schemas.envelope import Contract, Identifier
from schemas.money import format_amount
from schemas.plans import PlanAsk
from schemas.runs import EstimateAsk, EstimateCandidate, EstimateItem, TokenRange
from services.edge.access_rules import AccessRules
from services.edge.caller import Caller, KeyRow
from services.edge.errors import NotFoundError
from services.edge.memberships import Memberships
from services.edge.route_plan_models import RoutePlan
from services.edge.router import Router
from services.edge.settlement import Settlement

Json = dict[str, Any]
Tokens = Annotated[int, Field(ge=0, le=10**8)]
FindKey = Callable[[str], Awaitable[KeyRow | None]]
LEAST_OUTPUT_TOKENS = 256
"""What a hold covers at the least where the client gave no cap."""


class RoutePlanBody(Contract):
    """Who would ask for what. Tokens are those of the request that is imagined."""

    key_id: Identifier
    model: Identifier
    run_id: Identifier | None = None
    stream: bool = False
    input_tokens: Tokens = 1_000
    output_tokens: Tokens | None = None
    user: str | None = None
    prompt_cache_key: str | None = None


class RoutePlans:
    """Asks router for the plan under the key's policies, and settlement which of its buckets can pay."""

    def __init__(self, find: FindKey, memberships: Memberships, router: Router, settlement: Settlement) -> None:
        self._find = find
        self._memberships = memberships
        self._router = router
        self._settlement = settlement

    async def plan(self, body: RoutePlanBody) -> Json:
        """The plan. Raises what a request of the key would be refused with before any plan is made."""
        row = await self._find(body.key_id)
        if row is None:
            raise NotFoundError("key_not_found", "There is no API key with this id.", param="key_id")
        caller = Caller.of(row)
        caller.require_standing()
        if body.run_id is not None:
            caller = await self._memberships.join(caller, body.run_id)
        caller.require_model(body.model)
        asked = PlanAsk(
            model=body.model,
            policy=caller.policy,
            route_limits=[
                RouteLimit(kind=step.kind, id=step.id, route_types=step.policy.route_types)
                for step in caller.steps
                if step.policy.route_types is not None
            ],
            account_id=caller.account_id,
            stream=body.stream,
            input_tokens=body.input_tokens,
            output_tokens=body.output_tokens,
            user=body.user,
            prompt_cache_key=body.prompt_cache_key,
        )
        plan = await self._router.plan(asked)
        funds = await self._funds(caller, body, plan)
        plan["candidates"] = [with_funds(candidate, funds) for candidate in plan["candidates"]]
        return {"key_id": body.key_id, "account_id": caller.account_id, "policy": caller.policy.model_dump(), **plan}

    async def _funds(self, caller: Caller, body: RoutePlanBody, plan: Json) -> dict[str, Json]:
        """What settlement says of each route type of the plan."""
        output = LEAST_OUTPUT_TOKENS if body.output_tokens is None else body.output_tokens
        item = EstimateItem(
            model=body.model,
            requests=1,
            input_tokens=TokenRange(low=body.input_tokens, high=body.input_tokens),
            output_tokens=TokenRange(low=output, high=output),
            candidates=[
                EstimateCandidate(route_type=each["route_type"], model=each["upstream_model"]) for each in plan["candidates"]
            ],
        )
        asked = EstimateAsk(key=caller.key, run_id=body.run_id, items=[item])
        _, answer = await self._settlement.ask(caller.account_id, "estimate", body=asked)
        return {route["route_type"]: route for route in answer["routes"]}


def with_funds(candidate: Json, funds: dict[str, Json]) -> Json:
    """The candidate with what its bucket has for it; one that it cannot pay for is skipped."""
    route = funds.get(candidate["route_type"])
    if route is None:
        why = f"{candidate['why']}; skipped: no bucket pays for {candidate['route_type']} routes"
        return {**candidate, "funds": None, "skipped": candidate["skipped"] or "insufficient_funds", "why": why}
    shown = {name: route[name] for name in ("bucket", "currency", "available", "payable", "stops")}
    if route["payable"] != "no":
        return {**candidate, "funds": shown}
    return {
        **candidate,
        "funds": shown,
        "skipped": candidate["skipped"] or "insufficient_funds",
        "why": f"{candidate['why']}; skipped: {_lacking(route)}",
    }


def _lacking(route: Json) -> str:
    if not route["items"]:
        return f"no price is published for it on {route['route_type']} routes"
    stops = route["stops"]
    what = (
        f"the {stops['window']} limit of {stops['kind']} {stops['id']}" if stops["window"] else f"{stops['kind']} {stops['id']}"
    )
    return f"{what} leaves {format_amount(stops['left_nano'])} {route['currency']}, it needs {route['largest_hold']}"


def route_plan_routes(plans: RoutePlans, rules: AccessRules) -> APIRouter:
    """The route of the dry run."""
    routes = APIRouter()

    may = rules.installation("route.read", 402, 404, 409, 429)
    may["responses"][200] = {"model": RoutePlan, "description": "The plan."}

    @routes.post("/route-plans", response_model=None, summary="Say where a request would go", **may)
    async def plan(body: RoutePlanBody) -> Json:
        """Where a key's request would go, and why."""
        return await plans.plan(body)

    return routes
