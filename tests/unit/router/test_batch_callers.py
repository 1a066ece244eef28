"""Who a batch's key is: remembered for a moment, and never beyond its expiry."""

from datetime import datetime, timedelta

import httpx
import pytest

from schemas.batches import LineCaller
from schemas.calls import Policy
from schemas.envelope import now
from schemas.requests import KeyRef
from services.router.batch.callers import Callers


def answering(expires_at: datetime | None, asked: list[str]) -> httpx.MockTransport:
    """Edge, which says when the key expires."""

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        key = KeyRef(project_id="prj_1", key_id="abcdefghijkl", key_name="bot")
        caller = LineCaller(account_id="acc_1", key=key, environment="default", policy=Policy(), expires_at=expires_at)
        return httpx.Response(200, content=caller.to_json())

    return httpx.MockTransport(answer)


@pytest.mark.parametrize(
    ("expires_at", "asked_for"), [(None, 1), (now() + timedelta(hours=1), 1), (now() - timedelta(seconds=1), 3)]
)
async def test_a_key_is_remembered_for_a_moment_and_not_beyond_its_expiry(expires_at: datetime | None, asked_for: int) -> None:
    asked: list[str] = []
    async with httpx.AsyncClient(base_url="http://edge", transport=answering(expires_at, asked)) as client:
        callers = Callers(client, lambda: 0.0)
        for _ in range(3):
            await callers.now("abcdefghijkl", None)
    assert asked == ["/internal/keys/abcdefghijkl/caller"] * asked_for
