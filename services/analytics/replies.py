"""Every admin reply names its call, and an unforeseen error leaves the connection usable."""

from collections.abc import Awaitable, Callable

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from schemas.envelope import new_id

PREFIX = "/admin/"
Told = Callable[[Request, Exception], Awaitable[Response]]
log = structlog.get_logger("analytics")


class Replies:
    """Around the application and its door.

    An error that the framework answers itself is raised once more, whereupon the server closes the connection without a word
    and the next call of a pooled client fails. So it is answered and logged here.
    """

    def __init__(self, app: ASGIApp, told: Told) -> None:
        self._app = app
        self._told = told

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One call."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = str(new_id())
        scope.setdefault("state", {})["request_id"] = request_id
        begun = False

        async def named(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                if f"{scope['path']}/".startswith(PREFIX):
                    message = {**message, "headers": [*message.get("headers", ()), (b"x-request-id", request_id.encode())]}
            await send(message)

        try:
            await self._app(scope, receive, named)
        except Exception as error:
            if begun:  # the reply is cut: the connection has to end
                raise
            log.exception("request failed", request_id=request_id, path=scope["path"])
            reply = await self._told(Request(scope), error)
            await reply(scope, receive, named)
