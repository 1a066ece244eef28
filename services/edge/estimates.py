"""`POST /v1/estimate`: what a planned job would cost, by route, before it begins."""

from collections.abc import Iterable, Mapping
from typing import Any

from starlette.requests import Request

from schemas.calls import Policy
from schemas.runs import EstimateAsk, EstimateCandidate, EstimateItem, TokenRange
from services.edge.admission import parse_object
from services.edge.bodies import BodyReader
from services.edge.caller import Caller
from services.edge.errors import NotFoundError
from services.edge.labels import read_labels, refuse_repeated
from services.edge.memberships import Memberships
from services.edge.replies import Reply, json_reply
from services.edge.router import Router
from services.edge.run_bodies import EstimateBody, EstimateItemBody, parse_body
from services.edge.settlement import Settlement

MAX_CANDIDATES = 64
Model = Mapping[str, Any]


class Estimates:
    """Resolves models to what may answer them under the caller's policy, and asks settlement for prices and means."""

    def __init__(self, settlement: Settlement, router: Router, memberships: Memberships, bodies: BodyReader) -> None:
        self._settlement = settlement
        self._router = router
        self._memberships = memberships
        self._bodies = bodies

    async def estimate(self, request: Request, caller: Caller) -> Reply:
        """`POST /v1/estimate`."""
        refuse_repeated(request.scope["headers"])
        headers = dict(request.scope["headers"])
        body = parse_body(EstimateBody, parse_object(await self._bodies.read(headers, request.receive)))
        run_id = body.run_id or read_labels(headers).run_id
        if run_id is not None:
            caller = await self._memberships.join(caller, run_id)
        models = {model["id"]: model for model in await self._router.models()}
        items = [planned(item, models, caller, f"items.{index}.model") for index, item in enumerate(body.items)]
        ask = EstimateAsk(key=caller.key, run_id=run_id, items=items)
        _, answer = await self._settlement.ask(caller.account_id, "estimate", body=ask)
        return json_reply(answer)


def planned(item: EstimateItemBody, models: Mapping[str, Model], caller: Caller, param: str) -> EstimateItem:
    """An item with everything that may answer it. Raises an `ApiError` where nothing may."""
    model = models.get(item.model)
    if model is None:
        raise NotFoundError("model_not_found", f"The model {item.model[:64]!r} does not exist.", param=param)
    caller.require_model(item.model, param=param)
    routes = model.get("routes", [])
    caller.require_route(item.model, {route["route_type"] for route in routes}, param=param)
    return EstimateItem(
        model=item.model,
        requests=item.requests,
        input_tokens=TokenRange(low=item.input_tokens.low, high=item.input_tokens.high),
        output_tokens=TokenRange(low=item.output_tokens.low, high=item.output_tokens.high),
        cached_share=item.cached_share,
        candidates=candidates_of(routes, caller.policy),
    )


def candidates_of(routes: Iterable[Mapping[str, Any]], policy: Policy) -> list[EstimateCandidate]:
    """The places that the policy allows, in the order of the plan, each once; the first alone where falling back is off."""
    allowed = [
        EstimateCandidate(route_type=route["route_type"], model=route["upstream_model"])
        for route in routes
        if route["route_type"] in policy.route_types
    ]
    distinct = list(dict.fromkeys(allowed[:1] if not policy.fallback else allowed))
    return distinct[:MAX_CANDIDATES]
