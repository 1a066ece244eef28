"""What analytics believes of a token, and for how long."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from schemas.access import Grant, Introspection, Principal
from services.analytics.errors import IdentityUnavailableError
from services.analytics.identity import Identity

TOKEN = f"tbu-{'a' * 12}-{'b' * 49}"
OWNER = Introspection(active=True, user_id="usr_1", name="Ada", grants=[Grant(role="owner", account_id="acc_1")])


class Edge:
    """Answers introspection, and counts how often it was asked."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.asked = 0
        self.reply: Callable[[], httpx.Response] = lambda: httpx.Response(200, content=OWNER.to_json())

    def identity(self, url: str = "http://edge", token: str = "analytics") -> Identity:
        """Analytics' side, on the test's clock."""
        return Identity(url, token, clock=lambda: self.now_s, transport=httpx.MockTransport(self._answer))

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        assert (request.url.path, request.headers["authorization"]) == ("/internal/introspect", "Bearer analytics")
        return self.reply()


@pytest.fixture
def edge() -> Edge:
    """Edge, which knows one owner."""
    return Edge()


async def test_an_answer_counts_for_a_second_and_no_longer(edge: Edge) -> None:
    identity = edge.identity()
    assert await identity.principal(TOKEN) == OWNER.principal()
    edge.reply = lambda: httpx.Response(200, json={"active": False})
    edge.now_s = 0.99
    assert await identity.principal(TOKEN) == OWNER.principal()
    edge.now_s = 1.0
    assert await identity.principal(TOKEN) is None
    assert edge.asked == 2


async def test_the_second_begins_when_edge_is_asked(edge: Edge) -> None:
    identity = edge.identity()

    def slowly() -> httpx.Response:
        edge.now_s = 0.8
        return httpx.Response(200, content=OWNER.to_json())

    edge.reply = slowly
    assert isinstance(await identity.principal(TOKEN), Principal)
    edge.now_s = 1.1
    await identity.principal(TOKEN)
    assert edge.asked == 2


async def test_a_token_that_is_worth_nothing_is_remembered_too(edge: Edge) -> None:
    edge.reply = lambda: httpx.Response(200, json={"active": False})
    identity = edge.identity()
    assert [await identity.principal(TOKEN) for _ in range(3)] == [None] * 3
    assert edge.asked == 1


@pytest.mark.parametrize("token", ["", "admin", "sk-tb-" + "a" * 62, TOKEN + "x", TOKEN[:-1], "tbu-", "ü" * 66])
async def test_what_is_no_access_token_is_never_asked_about(edge: Edge, token: str) -> None:
    assert await edge.identity().principal(token) is None
    assert edge.asked == 0


@pytest.mark.parametrize("status", [401, 404, 500, 503])
async def test_without_an_answer_nobody_comes_in_and_nothing_is_remembered(edge: Edge, status: int) -> None:
    identity, told = edge.identity(), edge.reply
    for reply in (lambda: httpx.Response(status), lambda: httpx.Response(200, content=b"{"), _away):
        edge.reply = reply
        with pytest.raises(IdentityUnavailableError):
            await identity.principal(TOKEN)
    edge.reply = told
    assert await identity.principal(TOKEN) == OWNER.principal()


@pytest.mark.parametrize("missing", [{"url": ""}, {"token": ""}])
async def test_an_installation_without_users_says_what_to_set(edge: Edge, missing: dict[str, Any]) -> None:
    with pytest.raises(IdentityUnavailableError, match="TOLLBOOK_EDGE_URL and TOLLBOOK_ANALYTICS_TOKEN"):
        await edge.identity(**missing).principal(TOKEN)


def _away() -> httpx.Response:
    raise httpx.ConnectError("nobody listens")
