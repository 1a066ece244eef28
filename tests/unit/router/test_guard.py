"""Who may call router's admin API: the table of `schemas.access`, asked of edge, remembered for a second, never guessed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx
import orjson
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from schemas.access import Permission
from services.router.errors import AdminError
from services.router.guard import Guard, Identities, who_of

TOKEN = f"tbu-{'a' * 12}-{'b' * 49}"
OPERATOR, ON_CALL = ({"role": role, "account_id": None} for role in ("operator", "on-call"))
OWNER = {"role": "owner", "account_id": "acc_1"}


class Edge:
    """What edge says of tokens, and how often it was asked."""

    def __init__(self, *grants: Mapping[str, Any], status: int = 200) -> None:
        self.grants = list(grants)
        self.status = status
        self.active = True
        self.asked: list[str] = []
        self.now = 0.0
        app = Starlette(routes=[Route("/internal/introspect", self._answer, methods=["POST"])])
        client = httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://edge")
        self.guard = Guard(b"root-token", Identities(client, lambda: self.now))

    async def _answer(self, request: Request) -> Response:
        self.asked.append((await request.json())["token"])
        user = {"user_id": "usr_1", "name": "Ada", "grants": self.grants}
        return Response(orjson.dumps({"active": self.active, **(user if self.active else {})}), self.status)


def call(token: str = TOKEN) -> Request:
    """A call with a token."""
    headers = [(b"authorization", f"Bearer {token}".encode()), (b"x-request-id", b"the caller's own")]
    return Request({"type": "http", "state": {"request_id": "req-1"}, "headers": headers, "client": ("192.0.2.7", 1)})


async def outcome(edge: Edge, permission: Permission, request: Request | None = None) -> tuple[int, str]:
    """Status and code of what the guard answers, 200 where it lets through."""
    try:
        await edge.guard.needs(permission)(request or call())
    except AdminError as refused:
        return refused.status, refused.code
    return 200, ""


@pytest.mark.parametrize(
    ("grant", "permission", "expected"),
    [
        (OPERATOR, "route.write", (200, "")),
        (OPERATOR, "secret.write", (200, "")),
        (ON_CALL, "channel.freeze", (200, "")),
        (ON_CALL, "route.read", (200, "")),
        (ON_CALL, "route.write", (403, "role_not_allowed")),
        (OWNER, "route.read", (403, "role_not_allowed")),
        (OWNER, "channel.freeze", (403, "role_not_allowed")),
    ],
)
async def test_a_role_may_what_the_table_says(
    grant: Mapping[str, Any], permission: Permission, expected: tuple[int, str]
) -> None:
    assert await outcome(Edge(grant), permission) == expected


async def test_a_refusal_names_the_permission_and_the_roles_that_have_it() -> None:
    with pytest.raises(AdminError, match=r"route\.write.*operator"):
        await Edge(ON_CALL).guard.needs("route.write")(call())


@pytest.mark.parametrize("token", ["", "x", "root-token-x", "sk-tb-abcdefghijkl-" + "x" * 49, f"{TOKEN}b", f"tbu-{TOKEN}"])
async def test_what_is_no_access_token_is_refused_without_asking(token: str) -> None:
    edge = Edge(OPERATOR)
    assert await outcome(edge, "route.read", call(token)) == (401, "unauthorized")
    assert edge.asked == []


async def test_a_revoked_token_counts_for_a_second_at_most_and_a_refused_one_too() -> None:
    edge = Edge(OPERATOR)
    assert await outcome(edge, "route.read") == (200, "")
    edge.active = False
    assert await outcome(edge, "route.read") == (200, "")
    edge.now = 1.01
    assert await outcome(edge, "route.read") == (401, "unauthorized")
    edge.active = True
    assert await outcome(edge, "route.read") == (401, "unauthorized")
    edge.now = 2.02
    assert await outcome(edge, "route.read") == (200, "")
    assert edge.asked == [TOKEN] * 3


async def test_while_edge_says_nothing_nobody_but_the_installations_token_is_let_in() -> None:
    edge = Edge(OPERATOR, status=503)
    assert await outcome(edge, "route.read") == (503, "identity_unavailable")
    assert await outcome(edge, "route.write", call("root-token")) == (200, "")
    untold = Guard(b"root-token", Identities(None, lambda: 0.0))
    with pytest.raises(AdminError, match="TOLLBOOK_EDGE_URL"):
        await untold.principal(call())


async def test_a_user_is_named_by_the_token_and_the_installations_token_may_name_an_author() -> None:
    edge, request = Edge(OPERATOR), call()
    await edge.guard.needs("route.write")(request)
    who = who_of(request, author="somebody else", reason="why")
    assert (who.actor, who.actor_name, who.author, who.reason) == ("usr_1", "Ada", "usr_1 (Ada)", "why")
    assert (who.request_id, who.client_ip) == ("req-1", "192.0.2.7")
    root = call("root-token")
    await edge.guard.needs("route.write")(root)
    assert who_of(root, author="ada").author == "ada"
    assert (who_of(root).actor, who_of(root).author) == ("root", "admin")


async def test_an_empty_admin_token_opens_nothing() -> None:
    guard = Guard(b"", Identities(None, lambda: 0.0))
    for token in ("", " "):
        with pytest.raises(AdminError):
            await guard.principal(call(token))
