"""Edge as the other services ask it: a server on a port of its own that knows a few users' tokens, and some accounts."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from deploy.local.ports import free_port
from schemas.access import Grant, Introspection, IntrospectionAsk, Role
from schemas.calls import AccountFound, AccountsFound

SERVICE_TOKEN = "token-of-the-asking-service"
START_TIMEOUT_S = 60.0


@dataclass
class EdgeOfUsers:
    """Users by their tokens, and accounts. `away` makes it answer nothing of use."""

    url: str
    users: dict[str, Introspection] = field(default_factory=dict)
    accounts: set[str] = field(default_factory=set)
    away: bool = False

    def user(self, name: str, role: Role | None, account_id: str | None = None) -> str:
        """A token of a new user, who has one role or none."""
        number = len(self.users)
        token = f"tbu-{number:012d}-{'s' * 49}"
        grants = [] if role is None else [Grant(role=role, account_id=account_id)]
        self.users[token] = Introspection(active=True, user_id=f"usr_{number}", name=name, grants=grants)
        return token

    async def introspect(self, request: Request) -> Response:
        """`POST /internal/introspect`."""
        if self.away or request.headers.get("authorization") != f"Bearer {SERVICE_TOKEN}":
            return Response(status_code=503 if self.away else 401)
        asked = IntrospectionAsk.model_validate_json(await request.body())
        found = self.users.get(asked.token, Introspection(active=False))
        return Response(found.to_json(), media_type="application/json")

    async def find_accounts(self, request: Request) -> Response:
        """`GET /internal/accounts`."""
        if self.away or request.headers.get("authorization") != f"Bearer {SERVICE_TOKEN}":
            return Response(status_code=503 if self.away else 401)
        asked = request.query_params.getlist("id")
        found = AccountsFound(data=[AccountFound(account_id=each) for each in asked if each in self.accounts])
        return Response(found.to_json(), media_type="application/json")


@contextmanager
def running_edge() -> Iterator[EdgeOfUsers]:
    """The server, until the block ends."""
    port = free_port()
    edge = EdgeOfUsers(f"http://127.0.0.1:{port}")
    routes = [
        Route("/internal/introspect", edge.introspect, methods=["POST"]),
        Route("/internal/accounts", edge.find_accounts, methods=["GET"]),
    ]
    server = uvicorn.Server(uvicorn.Config(Starlette(routes=routes), port=port, log_level="warning"))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), daemon=True)
    thread.start()
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not server.started:
            assert time.monotonic() < deadline, "the stand-in of edge did not start"
            time.sleep(0.01)
        yield edge
    finally:
        server.should_exit = True
        thread.join(10)
