"""Who makes an admin call and what they may do: authenticated before it is read, and each operation says once what it needs."""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from json import JSONDecodeError
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import Depends, FastAPI, Header, Request
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict

from schemas.access import PERMISSION_FIELD, ROLE_NOT_ALLOWED, ROOT, Permission, Principal, Verdict, refusal
from schemas.envelope import new_id
from services.settlement.errors import ApiError, ForbiddenError, NotFoundError, UnauthorizedError
from services.settlement.http_edges import Asgi, Receive, Scope, Send, Tokens, header, send_error
from services.settlement.identity import Identity

PREFIX = "/admin/"
CHANGING = (400, 409, 413)
"""What else a call with a body may be answered: it cannot be read, contradicts what is there, is too large."""
ACCOUNT = "account_id"
Named = Literal["installation", "path", "query", "body"]
"""Where a call names the account that it is about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminCall:
    """One call: who makes it, from where; and for a call that may be repeated its key and the digest of its body and query."""

    principal: Principal
    request_id: str
    client_ip: str | None
    path: str
    key: str | None = None
    body_hash: bytes = b""

    def author(self, named: str) -> str:
        """Who is recorded as the author: the admin token may name somebody, a user is always the user."""
        return named if self.principal.root else self.principal.author


class ErrorFields(BaseModel):
    """What went wrong. `code` is for programs, `message` says what to do; some codes have further members."""

    model_config = ConfigDict(extra="allow")

    message: str
    type: str
    param: str | None
    code: str


class ErrorReply(BaseModel):
    """The one shape of every error."""

    error: ErrorFields


class Door:
    """In front of `/admin`: nobody comes in without the admin token or an access token that is in force."""

    def __init__(self, app: Asgi, root: Tokens, identity: Identity) -> None:
        self._app = app
        self._root = root
        self._identity = identity

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one call through, or refuse it before its body is read."""
        if scope["type"] != "http" or not f"{scope['path']}/".startswith(PREFIX):
            await self._app(scope, receive, send)
            return
        request_id = str(new_id())
        answer = _named(send, request_id)
        try:
            principal = await self._who(header(scope, b"authorization"))
        except ApiError as error:
            await send_error(answer, error)
            return
        client = scope.get("client")
        scope.setdefault("state", {})["call"] = AdminCall(
            principal=principal,
            request_id=request_id,
            client_ip=client[0] if client else None,
            path=scope["path"],
        )
        await self._app(scope, receive, answer)

    async def _who(self, authorization: bytes | None) -> Principal:
        if self._root.known(authorization):
            return ROOT
        scheme, _, token = (authorization or b"").decode("latin-1").partition(" ")
        principal = await self._identity.principal(token.strip()) if scheme.lower() == "bearer" else None
        if principal is None:
            raise UnauthorizedError(
                "an admin call needs the admin token or an access token that is in force: Authorization: Bearer <token>"
            )
        return principal


def _named(send: Send, request_id: str) -> Send:
    """Replies with the id under which the audit log has the call."""

    async def named(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), (b"x-request-id", request_id.encode())]}
        await send(message)

    return named


def the_call(request: Request) -> AdminCall:
    """The call that is being answered."""
    call: AdminCall = request.state.call
    return call


async def repeatable(
    request: Request,
    key: Annotated[
        str | None,
        Header(
            alias="idempotency-key",
            min_length=1,
            max_length=128,
            description="Under the same key the same call gives the same answer; another body or query is a conflict.",
        ),
    ] = None,
) -> AdminCall:
    """The call, with the key under which it may be repeated: for the same body and query, whatever the order of its words."""
    digest = asked_digest(await request.body(), request.query_params.multi_items())
    return replace(the_call(request), key=key, body_hash=digest)


def asked_digest(body: bytes, query: Sequence[tuple[str, str]]) -> bytes:
    """What a key stands for. Without a query it is the body's own digest, as keys of an older release were stored."""
    if not query:
        return sha256(body).digest()
    return sha256(sha256(body).digest() + urlencode(sorted(query)).encode()).digest()


Calling = Annotated[AdminCall, Depends(the_call)]
Repeatable = Annotated[AdminCall, Depends(repeatable)]


def operation(
    permission: Permission,
    summary: str,
    *,
    about: Named = "installation",
    errors: Sequence[int] = (),
    again: type[BaseModel] | None = None,
    body: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """What FastAPI is told of an operation: the permission that it needs (checked, and shown in OpenAPI) and its errors.

    `again` is what it answers with 200 where the same was done before, `body` the content of one that is no JSON model.
    """
    extra = {PERMISSION_FIELD: permission}
    replies: dict[int, dict[str, Any]] = {200: {"model": again}} if again else {}
    codes = {401, 403, 422, 503, *errors, *([] if about == "installation" else [404])}
    return {
        "summary": summary,
        "dependencies": [Depends(_needs(permission, about))],
        "openapi_extra": extra | ({"requestBody": {"required": True, "content": body}} if body else {}),
        "responses": replies | {code: {"model": ErrorReply} for code in sorted(codes)},
    }


def _needs(permission: Permission, about: Named) -> Callable[[Request], Awaitable[None]]:
    async def check(request: Request) -> None:
        principal = the_call(request).principal
        account = await _account_named(request, about)
        if account is None and about != "installation" and principal.accounts_with(permission):
            return  # without an account the call is refused as incomplete, or its list is narrowed to these accounts
        require(principal, permission, account)

    return check


def require(principal: Principal, permission: Permission, account_id: str | None) -> None:
    """Raise ForbiddenError or NotFoundError unless this one may do it in the account, or (None) in the installation."""
    verdict = principal.verdict(permission, account_id)
    if verdict is Verdict.UNKNOWN:
        raise unknown_account(account_id or "")
    if verdict is Verdict.REFUSED:
        raise ForbiddenError(refusal(permission), code=ROLE_NOT_ALLOWED)


def unknown_account(account_id: str) -> NotFoundError:
    """What is said of an account that does not exist, and of one that the caller has nothing to do with."""
    advice = "look its id up (`tollbook accounts list`), or make it first (`tollbook accounts create`)"
    return NotFoundError(f"There is no account {account_id!r}: {advice}.", code="account_not_found", param=ACCOUNT)


async def _account_named(request: Request, about: Named) -> str | None:
    if about == "path":
        return str(request.path_params[ACCOUNT])
    if about == "query":
        return request.query_params.get(ACCOUNT)
    if about == "installation":
        return None
    try:
        body = await request.json()
    except (JSONDecodeError, UnicodeDecodeError):
        return None
    named = body.get(ACCOUNT) if isinstance(body, dict) else None
    return named if isinstance(named, str) else None


def require_permissions(app: FastAPI) -> None:
    """Refuse to start with an admin operation that says nothing of who may do it."""
    open_to_all = [
        route.path
        for route in app.routes
        if isinstance(route, APIRoute) and route.path.startswith(PREFIX) and PERMISSION_FIELD not in (route.openapi_extra or {})
    ]
    if open_to_all:
        raise RuntimeError(f"admin operations without a permission: {', '.join(open_to_all)}")
