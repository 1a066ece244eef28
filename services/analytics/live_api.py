"""`GET /admin/requests/live`: requests as they end, as server-sent events."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Annotated

import orjson
from fastapi import APIRouter, Query, Request
from starlette.responses import Response, StreamingResponse

from schemas.access import Principal
from services.analytics.admin_calls import Caller, operation, same_caller
from services.analytics.errors import IdentityUnavailableError
from services.analytics.http_errors import ErrorReply
from services.analytics.live_feed import Holder, LiveFeed, Watcher
from services.analytics.live_line import Watch

HEARTBEAT_S = 10.0
CHECK_S = 0.5
"""How often it is asked whether the one who watches may still do so."""
SHOWN = {
    200: {"description": "Events `watching`, `request`, `ended`.", "content": {"text/event-stream": {}}},
    429: {"model": ErrorReply, "description": "You, or the users of the account, watch as often as one may."},
}
Name = Annotated[str | None, Query(min_length=1, max_length=128)]


async def told(watcher: Watcher, held: AsyncExitStack, may: Callable[[], Awaitable[bool]]) -> AsyncIterator[bytes]:
    """The stream: `watching` once, `request` for each, a comment while nothing happens, and `ended` with the reason."""
    async with held:
        yield _event("watching", {})
        quiet_s = 0.0
        while True:
            lines = await watcher.take(CHECK_S)
            if not await may():
                yield _event("ended", {"message": "Your token or your role does not allow this any more."})
                return
            quiet_s = 0.0 if lines else quiet_s + CHECK_S
            if lines:
                yield b"".join(_event("request", line) for line in lines)
            elif watcher.ended is not None:
                yield _event("ended", {"message": watcher.ended})
                return
            elif quiet_s >= HEARTBEAT_S:
                quiet_s = 0.0
                yield b": nothing yet\n\n"


def _event(name: str, data: dict[str, object]) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (name.encode(), orjson.dumps(data))


def router(feed: LiveFeed) -> APIRouter:
    """The route under `/admin`."""
    routes = APIRouter(prefix="/admin")
    declared = operation("usage.read", "Watch requests as they end", about="query")

    @routes.get("/requests/live", **declared | {"responses": declared["responses"] | SHOWN}, response_class=StreamingResponse)
    async def watch_requests(  # noqa: PLR0917 - FastAPI passes them by name
        request: Request,
        caller: Caller,
        account_id: Name = None,
        project_id: Name = None,
        key_id: Name = None,
        model: Name = None,
        *,
        errors: bool = False,
    ) -> Response:
        """Server-sent events, of one account or of all that the caller may see, for as long as they may."""
        accounts = caller.accounts_with("usage.read")

        async def may() -> bool:
            return await still(request, caller)

        watch = Watch(
            accounts=accounts, account_id=account_id, project_id=project_id, key_id=key_id, model=model, errors=errors
        )
        async with AsyncExitStack() as stack:
            watcher = await stack.enter_async_context(feed.watching(watch, Holder.of(caller, watch)))
            headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
            return StreamingResponse(told(watcher, stack.pop_all(), may), media_type="text/event-stream", headers=headers)

    return routes


async def still(request: Request, began: Principal) -> bool:
    """Whether the caller may see what they could when the stream began."""
    try:
        now = await same_caller(request)
    except IdentityUnavailableError:
        return False
    return now is not None and now.accounts_with("usage.read") == began.accounts_with("usage.read")
