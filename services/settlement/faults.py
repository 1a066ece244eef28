"""An unforeseen error of a call is answered and leaves the connection usable."""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

Told = Callable[[Request, Exception], Awaitable[Response]]


class Faults:
    """Around the application.

    An error that the framework answers itself is raised once more, whereupon the server closes the connection without a word
    and the next call of a pooled client fails. So it is answered here.
    """

    def __init__(self, app: ASGIApp, told: Told) -> None:
        self._app = app
        self._told = told

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One call."""
        begun = False

        async def noted(message: Message) -> None:
            nonlocal begun
            begun = begun or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except Exception as error:
            if begun or scope["type"] != "http":  # the reply is cut: the connection has to end
                raise
            reply = await self._told(Request(scope), error)
            await reply(scope, receive, noted)
