"""Waits for channels that tests before let fail, after which a circuit breaker lets them rest for a while."""

import asyncio
import time
from typing import Any

import httpx

RESTED_WITHIN_S = 120
PAUSE_S = 0.5


async def until_none_rests(described: dict[str, Any], model: str) -> None:
    """Until the router would call every channel of the model's plan."""
    headers = {"authorization": f"Bearer {described['admin_token']}"}
    until = time.monotonic() + RESTED_WITHIN_S
    async with httpx.AsyncClient(base_url=described["router_url"], headers=headers, timeout=30, trust_env=False) as router:
        while True:
            reply = await router.post("/admin/route-plan", json={"model": model})
            skipped = [each for each in reply.raise_for_status().json()["candidates"] if each["skipped"]]
            if not skipped:
                return
            assert time.monotonic() < until, skipped
            await asyncio.sleep(PAUSE_S)
