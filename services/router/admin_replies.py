"""Every admin reply names the call as the audit log does, and an unforeseen error leaves the connection usable."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from schemas.envelope import new_id

PREFIX = "/admin/"
Told = Callable[[Request, Exception], Awaitable[Response]]


class AdminReplies:
    """Around the application. The id is minted here: what a caller sends as `x-request-id` is never stored.

    An error that the framework answers itself is raised once more, whereupon the server closes the connection without a word
    and the next call of a pooled client fails. So it is answered here.
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
        except Exception as exc:
            if begun:  # the reply is cut: the connection has to end
                raise
            reply = await self._told(Request(scope), exc)
            await reply(scope, receive, named)
