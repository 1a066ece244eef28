"""A fault of our own is answered under the id of the call, and the connection goes on."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import uvicorn
from fastapi import FastAPI
from starlette.middleware import Middleware

from services.analytics import http_errors
from services.analytics.replies import Replies
from services.settlement.faults import Faults


@asynccontextmanager
async def served(kind: type[Replies] | type[Faults]) -> AsyncIterator[str]:
    """An application with a fault, behind the server that the services have."""
    app = FastAPI(middleware=[Middleware(kind, http_errors.fault)])

    @app.get("/admin/fault")
    async def fault() -> None:
        raise LookupError("nobody thought of it")

    @app.get("/admin/fine")
    async def fine() -> None:
        return None

    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off"))
        serving = asyncio.create_task(server.serve([listening]))
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        await serving


async def ports_used(url: str) -> tuple[list[int], list[httpx.Response], int]:
    """Statuses and replies of calls one after the other, and how many connections they took."""
    opened = 0

    async def count(name: str, _: object) -> None:
        nonlocal opened
        opened += name == "connection.connect_tcp.complete"

    paths = ("/admin/fine", "/admin/fault", "/admin/fault", "/admin/fine")
    async with httpx.AsyncClient(base_url=url) as client:
        replies = [await client.get(path, extensions={"trace": count}) for path in paths]
    return [reply.status_code for reply in replies], replies, opened


async def test_after_a_fault_of_analytics_the_connection_serves_the_next_call_and_each_reply_has_its_id() -> None:
    async with served(Replies) as url:
        statuses, replies, connections = await ports_used(url)
    assert (statuses, connections) == ([200, 500, 500, 200], 1)
    assert replies[1].json()["error"]["type"] == "server_error"
    assert len({reply.headers["x-request-id"] for reply in replies}) == len(replies)


async def test_after_a_fault_of_settlement_the_connection_serves_the_next_call() -> None:
    async with served(Faults) as url:
        statuses, replies, connections = await ports_used(url)
    assert (statuses, connections) == ([200, 500, 500, 200], 1)
    assert replies[1].json()["error"]["type"] == "server_error"
