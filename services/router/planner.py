"""From a request to its plan: what the table, the policy, prices, latencies, limits and prompt caches say together. Sync."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from schemas.calls import CallContext
from schemas.plans import PlanAsk
from services.router.affinity import Affinity
from services.router.ask import Ask, ask_of
from services.router.call import Call
from services.router.catalog import Catalog
from services.router.clients.client_api import ClientApi
from services.router.errors import RefusalError
from services.router.explain import explain
from services.router.health import Health
from services.router.plan import laid_out, make_plan, model_named
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
            views=self._views(self._draw, stream=ask.stream),
            wait_s=partial(health.wait_s, tokens=tokens),
            preference=None if trace is None else self._affinity.recall(trace, catalog, health),
            frozen=health.freezes.channels,
        )
        if plan.model.mode != ask.mode:
            message = f"The model `{ask.model}` is a model for {plan.model.mode}: this API cannot ask it."
            raise RefusalError(400, "model_not_supported", message, param="model")
        if ask.audio is not None and not plan.model.audio_input:
            message = f"Sound has no price here for the model `{ask.model}`: send its text."
            raise RefusalError(400, "unsupported_parameter", message, param=ask.audio)
        call = Call(context, ask, plan, begun=begun, deadline_s=deadline_s, api=api)
        call.expected_tokens, call.trace = tokens, trace
        return call

    def explain(self, asked: PlanAsk) -> dict[str, Any]:
        """What a request would be planned as, and why, without one. Raises :class:`RefusalError` where nothing is planned.

        Chance is left out: weights put the heaviest first, and nobody explores.
        """
        catalog, health = self._catalog(), self._health
        model, policy = model_named(catalog, asked.model), asked.policy
        body = {"model": asked.model, "messages": [{"role": "user", "content": ""}], "stream": asked.stream}
        body |= {"user": asked.user, "prompt_cache_key": asked.prompt_cache_key, "max_tokens": asked.output_tokens or None}
        ask = ask_of(body, asked.input_tokens * BYTES_PER_TOKEN)
        trace = None if asked.account_id is None else self._affinity.trace(model, ask, asked.account_id)
        allowed = [place for place in model.places if place.channel.route_type in policy.route_types]
        tokens, limits = expected_tokens(ask), asked.route_limits
        condition, views = partial(health.condition, tokens=tokens), self._views(lambda: 0.999, stream=asked.stream)
        if not allowed or not policy.allows_model(model.id):
            # The same refusal as a request would get.
            make_plan(catalog, asked.model, policy, condition, lambda: 0.999, route_limits=limits, views=views)
        preference = None if trace is None else self._affinity.recall(trace, catalog, health)
        wait_s = partial(health.wait_s, tokens=tokens)
        plan = laid_out(model, allowed, policy, condition=condition, views=views, wait_s=wait_s, preference=preference)
        return {"table_version": catalog.version, **explain(plan, policy, limits, views, health.freezes.channels)}

    def _views(self, draw: Callable[[], float], *, stream: bool) -> Views:
        return Views(draw, stream, self._prices(), self._health.recent_ms)


def expected_tokens(ask: Ask) -> int:
    """What a request counts against tokens per minute until its usage is known: its prompt by bytes, and the client's cap."""
    return ask.body_bytes // BYTES_PER_TOKEN + (ask.cap or 0) * ask.choices
