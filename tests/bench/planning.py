"""CPU time of planning one request, by strategy: `python -m tests.bench.planning`. No process, no network.

Each figure is the least of several rounds, in microseconds of this process's CPU.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from time import monotonic, process_time
from typing import Any

import orjson

from schemas.calls import CallContext
from schemas.ledger import PriceItem
from schemas.money import Prices
from services.router.affinity import Affinity
from services.router.breaker import BreakerLimits
from services.router.call import CHAT
from services.router.catalog import Catalog, compile_catalog
from services.router.health import Health, Passage
from services.router.planner import Planner
from services.router.price_view import price_view
from services.router.table import RouteTable

ROUNDS, CALLS = 7, 5_000
CHANNELS = (("a", "direct"), ("b", "direct"), ("p", "pooled"), ("q", "pooled"))
LIMITS = {"requests_per_minute": 10**9, "tokens_per_minute": 10**12, "concurrency": 1000}
CONTEXT = {
    "request_id": "019a1f3c-5b7e-7c41-9d52-3f0b8e6a1c27",
    "account_id": "acc_1",
    "key": {"project_id": "prj_1", "key_id": "abcdefghijkl", "key_name": "k"},
    "environment": "bench",
    "policy": {},
    "accepted_at": "2026-03-14T09:26:53Z",
}


def table(*, limited: bool, **more: Any) -> Catalog:
    """One model with four candidates of two buckets."""
    channels = [
        {
            "id": id_, "route_type": route_type, "brand": "b", "dialect": "openai", "base_url": f"https://{id_}.example.com/v1",
            "keys": [{"secret": "s"}], "weight": 1 if more.get("strategy") == "weighted" else None,
            **({"limits": LIMITS} if limited else {}),
        }
        for id_, route_type in CHANNELS
    ]  # fmt: skip
    candidates = [{"channel": id_, "upstream_model": "m"} for id_, _ in CHANNELS]
    model = {
        "id": "m",
        "owned_by": "o",
        "max_input_tokens": 10**5,
        "max_output_tokens": 10**4,
        "candidates": candidates,
        **more,
    }
    rows = RouteTable.model_validate({"channels": channels, "models": [model]})
    return compile_catalog(1, rows, {id_: ("s",) for id_, _ in CHANNELS}, {})


def planning(of: Catalog, health: Health) -> Callable[[], object]:
    """Plans the same request again and again."""
    buckets = {"direct": "credit", "pooled": "wallet", "subscription": "wallet"}
    prices = Prices.parse("2.5", "10")
    items = [PriceItem(route_type=kind, model="m", currency=kind, prices=prices) for kind in ("direct", "pooled")]
    view = price_view(1, buckets, items)
    affinity = Affinity(b"k" * 32, monotonic)
    planner = Planner(lambda: of, lambda: view, health, affinity, Random(1).random)
    context = CallContext.model_validate_json(orjson.dumps(CONTEXT))
    messages = [{"role": "system", "content": "You are a careful clerk. " * 400}, {"role": "user", "content": "hello"}]
    ask = CHAT.parse(orjson.dumps({"model": "m", "messages": messages}))
    return lambda: planner.plan(context, ask, CHAT, begun=0.0, deadline_s=60.0)


def passing(of: Catalog, health: Health) -> Callable[[], object]:
    """Takes a call's place at a channel and gives it back."""
    channel = of.channels["a"]

    def once() -> None:
        passage = health.begin(channel, 100)
        assert isinstance(passage, Passage)
        passage.used(120)
        passage.succeeded()

    return once


def least_us(once: Callable[[], object]) -> float:
    """CPU microseconds of one call."""
    once()
    found = []
    for _ in range(ROUNDS):
        begun = process_time()
        for _ in range(CALLS):
            once()
        found.append((process_time() - begun) / CALLS * 1e6)
    return min(found)


def main() -> None:
    """Print the table."""
    sticky = {"sticky": {"seconds": 300}}
    cases: dict[str, dict[str, Any]] = {
        "priority": {"strategy": "priority"},
        "weighted": {"strategy": "weighted"},
        "cheapest": {"strategy": "cheapest"},
        "fastest": {"strategy": "fastest"},
        "priority, sticky by a 10 kB prompt": {"strategy": "priority", **sticky},
    }
    print("CPU us per request, four candidates")
    for name, more in cases.items():
        health = Health(BreakerLimits(), monotonic)
        print(f"  plan, {name}: {least_us(planning(table(limited=False, **more), health)):.1f}")
    health = Health(BreakerLimits(), monotonic)
    print(f"  plan, priority, every limit set: {least_us(planning(table(limited=True), health)):.1f}")
    for limited in (False, True):
        of, health = table(limited=limited), Health(BreakerLimits(), monotonic)
        print(f"  a call's place, {'every limit' if limited else 'no limit'}: {least_us(passing(of, health)):.1f}")


if __name__ == "__main__":
    main()
