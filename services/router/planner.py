"""From a request to its plan: what the table, the policy, prices, latencies, limits and prompt caches say together. Sync."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from schemas.calls import CallContext
from services.router.affinity import Affinity
from services.router.ask import Ask
from services.router.call import Call
from services.router.catalog import Catalog
from services.router.clients.client_api import ClientApi
from services.router.errors import RefusalError
from services.router.health import Health
from services.router.plan import make_plan
from services.router.price_view import PriceView
from services.router.strategies import Views

BYTES_PER_TOKEN = 4


class Planner:
    """Makes the calls of requests, each with its plan."""

    def __init__(
        self,
        catalog: Callable[[], Catalog],
        prices: Callable[[], PriceView],
        health: Health,
        affinity: Affinity,
        draw: Callable[[], float],
    ) -> None:
        self._catalog = catalog
        self._prices = prices
        self._health = health
        self._affinity = affinity
        self._draw = draw

    def plan(self, context: CallContext, ask: Ask, api: ClientApi, *, begun: float, deadline_s: float) -> Call:
        """The call with its plan. Raises :class:`RefusalError`."""
        catalog, health = self._catalog(), self._health
        tokens = expected_tokens(ask)
        model = catalog.models.get(ask.model)
        trace = None if model is None else self._affinity.trace(model, ask, context.account_id)
        plan = make_plan(
            catalog,
            ask.model,
            context.policy,
            partial(health.condition, tokens=tokens),
            self._draw,
            route_limits=context.route_limits,
            views=Views(self._draw, ask.stream, self._prices(), health.recent_ms),
            wait_s=partial(health.wait_s, tokens=tokens),
            preference=None if trace is None else self._affinity.recall(trace, catalog, health),
        )
        if plan.model.mode != ask.mode:
            message = f"The model `{ask.model}` is a model for {plan.model.mode}: this API cannot ask it."
            raise RefusalError(400, "model_not_supported", message, param="model")
        call = Call(context, ask, plan, begun=begun, deadline_s=deadline_s, api=api)
        call.expected_tokens, call.trace = tokens, trace
        return call


def expected_tokens(ask: Ask) -> int:
    """What a request counts against tokens per minute until its usage is known: its prompt by bytes, and the client's cap."""
    return ask.body_bytes // BYTES_PER_TOKEN + (ask.cap or 0) * ask.choices
