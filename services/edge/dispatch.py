"""Which path goes where: one dictionary look-up for the hot path, Starlette's router for the rest."""

from collections.abc import Mapping, Sequence

import structlog
from starlette.routing import BaseRoute, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.edge.errors import MethodNotAllowedError, NotFoundError, UnavailableError
from services.edge.replies import send_error

log = structlog.get_logger(__name__)


class Dispatch:
    """The whole ASGI application. Whatever goes wrong below it becomes an error in OpenAI's shape, never a 500."""

    def __init__(self, hot: Mapping[str, ASGIApp], routes: Sequence[BaseRoute]) -> None:
        self._hot = dict(hot)
        self._router = Router(routes=list(routes), redirect_slashes=False, default=_no_route)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._hot.get(scope["path"])
        if app is not None:
            await _guarded(app, scope, receive, send)
        else:
            await _guarded(self._router, scope, receive, _Noticing(send))


class _Noticing:
    """A send channel that knows whether the reply has begun."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.begun = False

    async def __call__(self, message: Message) -> None:
        self.begun = True
        await self._send(message)


async def _guarded(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    try:
        await app(scope, receive, send)
    except Exception:
        log.exception("a request met a fault of the edge's own", path=scope["path"])
        if not (isinstance(send, _Noticing) and send.begun):
            # On the hot path this raises in its turn where the reply has begun, and the server cuts the connection.
            await send_error(send, UnavailableError("internal_error", "The edge made a mistake. It was recorded."))


class OnlyMethods:
    """Lets the named methods through and answers 405 to the others."""

    def __init__(self, app: ASGIApp, *methods: str) -> None:
        self._app = app
        self._methods = methods

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] in self._methods:
            await self._app(scope, receive, send)
        else:
            await send_error(send, MethodNotAllowedError(scope["method"], self._methods))


class ByMethod:
    """One path whose methods have endpoints of their own; 405 for the others."""

    def __init__(self, endpoints: Mapping[str, ASGIApp]) -> None:
        self._endpoints = dict(endpoints)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._endpoints.get(scope["method"])
        if app is not None:
            await app(scope, receive, send)
        else:
            await send_error(send, MethodNotAllowedError(scope["method"], list(self._endpoints)))


async def _no_route(scope: Scope, _receive: Receive, send: Send) -> None:
    await send_error(send, NotFoundError("unknown_url", f"There is nothing at {scope['method']} {scope['path'][:200]}."))
