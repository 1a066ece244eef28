"""Who makes an admin call and what they may do: each operation says once what it needs."""

import secrets
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal

from fastapi import Depends, FastAPI, Request
from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from schemas.access import IDENTITY_UNAVAILABLE, PERMISSION_FIELD, ROOT, Permission, Principal, Verdict, refusal
from services.analytics.errors import IdentityUnavailableError, RoleNotAllowedError, UnknownAccountError
from services.analytics.http_errors import WHO_MAY, ErrorReply, error_response
from services.analytics.identity import Identity

PREFIX = "/admin/"
ACCOUNT = "account_id"


class Door:
    """In front of `/admin`: nobody comes in without the admin token or an access token that is in force."""

    def __init__(self, app: ASGIApp, admin_token: str, identity: Identity) -> None:
        self._app = app
        self._root = f"Bearer {admin_token}".encode()
        self._identity = identity

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one call through, or refuse it."""
        if scope["type"] != "http" or not f"{scope['path']}/".startswith(PREFIX):
            await self._app(scope, receive, send)
            return
        try:
            principal = await self.who(dict(scope["headers"]).get(b"authorization", b""))
        except IdentityUnavailableError as error:
            await error_response(503, str(error), code=IDENTITY_UNAVAILABLE)(scope, receive, send)
            return
        if principal is None:
            await error_response(401, WHO_MAY)(scope, receive, send)
            return
        scope.setdefault("state", {}).update(principal=principal, door=self)
        await self._app(scope, receive, send)

    async def who(self, authorization: bytes) -> Principal | None:
        """Who presents the header, None where it opens nothing. Raises IdentityUnavailableError."""
        if secrets.compare_digest(authorization, self._root):
            return ROOT
        scheme, _, token = authorization.decode("latin-1").partition(" ")
        return await self._identity.principal(token.strip()) if scheme.lower() == "bearer" else None


def caller(request: Request) -> Principal:
    """Who makes the call that is being answered."""
    principal: Principal = request.state.principal
    return principal


async def same_caller(request: Request) -> Principal | None:
    """Who the caller of a call that lasts is by now, None where the token is worth nothing any more."""
    door: Door = request.state.door
    return await door.who(request.headers.get("authorization", "").encode("latin-1", "replace"))


Caller = Annotated[Principal, Depends(caller)]


def operation(
    permission: Permission, summary: str, *, about: Literal["installation", "query", "entity"] = "installation"
) -> dict[str, Any]:
    """What FastAPI is told of an operation: the permission that it needs (checked, and shown in OpenAPI) and its errors.

    One `about` an account of its query is narrowed, where it names none, to the accounts in which the caller has the
    permission. One about an entity checks it by :func:`permit`, once it knows whose the entity is.
    """
    codes = [400, 401, 403, *([404] if about != "installation" else []), 503]
    return {
        "summary": summary,
        "dependencies": [] if about == "entity" else [Depends(_needs(permission, narrowed=about == "query"))],
        "openapi_extra": {PERMISSION_FIELD: permission},
        "responses": {code: {"model": ErrorReply} for code in codes},
    }


def permit(principal: Principal, permission: Permission, account_id: str | None, missing: Exception) -> None:
    """Let nobody at what belongs to an account (None: to the installation) who may not. Raises `missing` to strangers.

    What belongs to the installation is none of the business of anybody without a role there.
    """
    if account_id is None and not principal.of_installation:
        raise missing
    verdict = principal.verdict(permission, account_id)
    if verdict is Verdict.UNKNOWN:
        raise missing
    if verdict is Verdict.REFUSED:
        raise RoleNotAllowedError(refusal(permission))


def _needs(permission: Permission, *, narrowed: bool) -> Callable[[Request], Awaitable[None]]:
    async def check(request: Request) -> None:
        principal = caller(request)
        account = request.query_params.get(ACCOUNT) if narrowed else None
        if narrowed and account is None and principal.accounts_with(permission):
            return
        verdict = principal.verdict(permission, account)
        if verdict is Verdict.UNKNOWN:
            raise UnknownAccountError(account or "")
        if verdict is Verdict.REFUSED:
            raise RoleNotAllowedError(refusal(permission))

    return check


def require_permissions(app: FastAPI) -> None:
    """Refuse to start with an admin operation that says nothing of who may do it."""
    open_to_all = [
        route.path
        for route in app.routes
        if isinstance(route, APIRoute) and route.path.startswith(PREFIX) and PERMISSION_FIELD not in (route.openapi_extra or {})
    ]
    if open_to_all:
        raise RuntimeError(f"admin operations without a permission: {', '.join(open_to_all)}")
