"""`GET /admin/requests/live`: requests as they end, as server-sent events."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Annotated

import orjson
from fastapi import APIRouter, Depends, Query
from starlette.responses import Response, StreamingResponse

from services.analytics.admin_api import bearer_only
from services.analytics.live_feed import LiveFeed, Watcher
from services.analytics.live_line import Watch

HEARTBEAT_S = 10.0
Name = Annotated[str | None, Query(min_length=1, max_length=128)]


async def told(watcher: Watcher, held: AsyncExitStack) -> AsyncIterator[bytes]:
    """The stream: `watching` once, `request` for each, a comment while nothing happens, and `ended` with the reason."""
    async with held:
        yield _event("watching", {})
        while True:
            lines = await watcher.take(HEARTBEAT_S)
            if lines:
                yield b"".join(_event("request", line) for line in lines)
            elif watcher.ended is not None:
                yield _event("ended", {"message": watcher.ended})
                return
            else:
                yield b": nothing yet\n\n"


def _event(name: str, data: dict[str, object]) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (name.encode(), orjson.dumps(data))


def router(feed: LiveFeed, admin_token: str) -> APIRouter:
    """The route under `/admin`."""
    routes = APIRouter(prefix="/admin", dependencies=[Depends(bearer_only(admin_token))])

    @routes.get("/requests/live")
    async def watch_requests(
        account_id: Name = None, project_id: Name = None, key_id: Name = None, model: Name = None, *, errors: bool = False
    ) -> Response:
        watch = Watch(account_id=account_id, project_id=project_id, key_id=key_id, model=model, errors=errors)
        async with AsyncExitStack() as stack:
            watcher = await stack.enter_async_context(feed.watching(watch))
            headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
            return StreamingResponse(told(watcher, stack.pop_all()), media_type="text/event-stream", headers=headers)

    return routes
