"""Values that the unit tests of router are made of."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson

from schemas.calls import CallContext, HoldGranted, Policy
from schemas.money import Prices
from schemas.requests import KeyRef
from services.router.ask import Ask, parse_ask
from services.router.call import Call
from services.router.catalog import Catalog, compile_catalog
from services.router.plan import make_plan
from services.router.table import RouteTable

ACCEPTED_AT = datetime(2026, 11, 23, 12, tzinfo=UTC)
REQUEST_ID = UUID(int=7)
HOLD_ID = UUID(int=8)
PRICES = Prices.parse("2.5", "10", "1.25")


def channel(id_: str, route_type: str = "direct", **more: Any) -> dict[str, Any]:
    """A channel's row."""
    row = {"id": id_, "route_type": route_type, "brand": "b", "dialect": "openai", "base_url": f"https://{id_}.example.com/v1"}
    return {**row, "keys": [{"secret": f"sk-{id_}"}], **more}


def model(id_: str, *channels: str, **more: Any) -> dict[str, Any]:
    """A model's row."""
    candidates = [{"channel": each, "upstream_model": id_} for each in channels]
    return {"id": id_, "owned_by": "o", "max_input_tokens": 1000, "max_output_tokens": 100, "candidates": candidates, **more}


def catalog(channels: Sequence[dict[str, Any]], models: Sequence[dict[str, Any]]) -> Catalog:
    """The table of these rows, in force as version 1."""
    table = RouteTable.model_validate({"channels": channels, "models": models})
    secrets = {row.id: tuple(key.secret or "" for key in row.keys) for row in table.channels}
    return compile_catalog(1, table, secrets)


def context(**policy: Any) -> CallContext:
    """Who asks."""
    return CallContext(
        request_id=REQUEST_ID,
        account_id="acc_1",
        key=KeyRef(project_id="prj_1", key_id="abcdefghijkl", key_name="k"),
        environment="test",
        policy=Policy(**policy),
        tags={"feature": "search"},
        run_id="run_1",
        client_request_id="mine",
        traceparent="00-1-2-01",
        accepted_at=ACCEPTED_AT,
    )


def body(**more: Any) -> bytes:
    """A client's body."""
    return orjson.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}], **more})


def ask(**more: Any) -> Ask:
    """A client's request."""
    return parse_ask(body(**more))


def call(of: Catalog, request: Ask | None = None, **policy: Any) -> Call:
    """A request whose plan is made and which is held on every candidate."""
    request = request or ask()
    plan = make_plan(of, request.model, context(**policy).policy, lambda _: None, lambda: 0.5)
    made = Call(context(**policy), request, plan, begun=100.0, deadline_s=600)
    made.granted(list(range(len(plan.places))), grant(len(plan.places)))
    return made


def grant(candidates: int, cap: int = 100) -> HoldGranted:
    """A hold over so many candidates, all covered."""
    return HoldGranted(
        hold_id=HOLD_ID,
        bucket="credit",
        currency="USD",
        amount_nano=1,
        price_version=1,
        output_cap=cap,
        covered=[True] * candidates,
        prices=[PRICES] * candidates,
    )
