"""What analytics tells the meter of what is usual."""

from types import SimpleNamespace
from typing import Any

import httpx
from fastapi import FastAPI

from services.analytics.signals.history import Usuals
from services.analytics.signals.meter_calls import router


async def asked(usuals: Usuals, known: int) -> httpx.Response:
    """What a meter that knows the baselines of an hour is told."""
    book: Any = SimpleNamespace(version=1, file="rules: []")
    app = FastAPI()
    app.include_router(router(book, lambda: usuals, "service-token"))
    headers = {"authorization": "Bearer service-token"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://analytics", headers=headers) as client:
        return await client.get("/internal/meter/baselines", params={"known": known})


async def test_a_process_that_has_read_no_baselines_yet_takes_none_from_the_meter() -> None:
    assert [(await asked(Usuals(), known)).status_code for known in (0, 500_000)] == [204, 204]
    assert (await asked(Usuals(hour=500_001), 500_000)).json()["hour"] == 500_001
    assert (await asked(Usuals(hour=500_001), 500_001)).status_code == 204
