"""Who calls, and the own access tokens: open to everybody with a token that counts."""

from typing import Any

from fastapi import APIRouter, Request, Response

from services.edge.access_guard import Actor, By
from services.edge.access_rules import anybody
from services.edge.admin import IdempotencyKey
from services.edge.admin_models import Because, Page
from services.edge.database import Row
from services.edge.errors import NotFoundError
from services.edge.user_admin import After, Limit, UserAdmin
from services.edge.user_models import AccessToken, AccessTokenBody, CreatedAccessToken, Me


def me_routes(admin: UserAdmin) -> APIRouter:
    """The routes under /me."""
    routes = APIRouter()
    path = "/me/tokens"

    @routes.get("/me", response_model=Me, summary="Say who calls", **anybody())
    async def me(by: By) -> dict[str, Any]:
        """The user behind the token, with all roles."""
        principal, identity = by.principal, by.identity
        shown = {"user_id": principal.user_id, "name": principal.name, "root": principal.root, "grants": principal.grants}
        token = {"token_id": None, "expires_at": None}
        return shown | (token if identity is None else {"token_id": identity.token_id, "expires_at": identity.expires_at})

    @routes.get(path, response_model=Page[AccessToken], summary="List the own access tokens", **anybody(404))
    async def list_my_tokens(by: By, after: After = "", limit: Limit = 100) -> dict[str, Any]:
        """List in id order, without their secrets."""
        rows, next_after = await admin.tokens.page(_user_of(by), after=after, limit=limit)
        return {"data": rows, "next_after": next_after}

    may = anybody(404, 409)

    @routes.post(path, status_code=201, response_model=CreatedAccessToken, summary="Create an own access token", **may)
    async def create_my_token(
        body: AccessTokenBody, request: Request, by: By, idempotency_key: IdempotencyKey = None
    ) -> Response:
        """Create one. The reply shows `access_token` once. It expires no later than the token that makes it."""
        return await admin.create_token(_user_of(by), body, request, by, idempotency_key)

    @routes.post(
        f"{path}/{{token_id}}/revoke", response_model=AccessToken, summary="Revoke an own access token", **anybody(404)
    )
    async def revoke_my_token(token_id: str, by: By, why: Because | None = None) -> Row:
        """End one for good; the one that makes this call, too."""
        return await admin.tokens.revoke(_user_of(by), token_id, why or Because(), by)

    return routes


def _user_of(by: Actor) -> str:
    if by.principal.root:
        message = "The admin token is no user's and has no access tokens: create a user, and a token of that user."
        raise NotFoundError("user_not_found", message)
    return by.principal.user_id
