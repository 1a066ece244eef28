"""The calls about users, their roles and their access tokens."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from schemas.access import Grant, Permission
from schemas.envelope import now
from services.edge.access_guard import Actor, By, actor_of
from services.edge.access_rules import AccessRules, EntityId, Route, declared, missing, readable
from services.edge.access_token_store import AccessTokenStore
from services.edge.admin import IdempotencyKey
from services.edge.admin_models import Because, Page
from services.edge.admin_replies import AdminReplies
from services.edge.database import Connection, Row
from services.edge.key_times import parse_expiry
from services.edge.labels import refuse_repeated
from services.edge.user_models import (
    AccessToken,
    AccessTokenBody,
    CreatedAccessToken,
    GivenRole,
    GrantBody,
    User,
    UserBody,
    UserPatch,
)
from services.edge.user_rules import UserRules, require_may_give
from services.edge.users import UserStore

After = Annotated[str, Query(max_length=128)]
Limit = Annotated[int, Query(ge=1, le=500)]
Which = Annotated[str | None, Query(max_length=128)]


class UserAdmin:
    """What the routes do, once it is known that they may. Creating calls answer once under their idempotency key."""

    def __init__(
        self, users: UserStore, tokens: AccessTokenStore, *, rules: AccessRules, may: UserRules, replies: AdminReplies
    ) -> None:
        self.users = users
        self.tokens = tokens
        self.rules = rules
        self.may = may
        self._replies = replies

    async def create_user(self, body: UserBody, request: Request, by: By, idempotency_key: IdempotencyKey = None) -> Response:
        """Create a user, with roles at once if they are named."""
        if not body.grants:
            self.may.require_installation(by.principal, "user.write")
        for grant in body.grants:
            await self.may.require_giving(by.principal, grant)

        async def create(connection: Connection) -> bytes:
            return User(**await self.users.create(connection, body.name, body.grants, by)).model_dump_json().encode()

        return await self.once(request, by, idempotency_key, create)

    async def give(
        self, entity_id: EntityId, grant: GrantBody, request: Request, by: By, idempotency_key: IdempotencyKey = None
    ) -> Response:
        """Give a user a role. Nobody gives a role wider than their own; one that the user has already stays as it is."""
        await self.may.require_giving(by.principal, grant)

        async def give(connection: Connection) -> bytes:
            return GivenRole(**await self.users.give(connection, entity_id, grant, by)).model_dump_json().encode()

        return await self.once(request, by, idempotency_key, give)

    async def create_token(
        self, user_id: str, body: AccessTokenBody, request: Request, by: Actor, idempotency_key: str | None
    ) -> Response:
        """Make a token. One that a user makes with a token does not outlive that token."""
        expires_at = None if body.expires_at is None else parse_expiry(body.expires_at, now())
        if by.identity is not None and by.identity.expires_at is not None and by.principal.user_id == user_id:
            expires_at = min(expires_at or by.identity.expires_at, by.identity.expires_at)

        async def create(connection: Connection) -> bytes:
            row, token = await self.tokens.create(connection, user_id, body.name, expires_at, by)
            return CreatedAccessToken(**row, access_token=token).model_dump_json().encode()

        return await self.once(request, by, idempotency_key, create)

    async def once(
        self, request: Request, by: Actor, idempotency_key: str | None, create: Callable[[Connection], Awaitable[bytes]]
    ) -> Response:
        """The reply of a creating call, the first one where it is repeated."""
        refuse_repeated(request.scope["headers"])
        reply = await self._replies.once(request.url.path, by, idempotency_key, await request.body(), create)
        return Response(reply, status_code=201, media_type="application/json")

    def over_grant(self, permission: Permission) -> Route:
        """A route about the role `{entity_id}` that was given."""

        async def check(entity_id: EntityId, request: Request) -> None:
            principal, row = actor_of(request).principal, await self.users.grant(entity_id)
            grant = None if row is None else Grant.model_validate(row)
            if grant is None or not (principal.of_installation or principal.may("user.read", grant.account_id)):
                raise missing("grant", entity_id)
            if not principal.may(permission, grant.account_id):
                self.may.refuse(permission)
            require_may_give(principal, grant)

        return declared(permission, check, 404, 409)


def user_routes(admin: UserAdmin) -> APIRouter:
    """The routes of users, roles and their tokens."""
    routes = APIRouter()
    _add_users(routes, admin)
    _add_grants(routes, admin)
    _add_tokens(routes, admin)
    return routes


def _add_users(routes: APIRouter, admin: UserAdmin) -> None:
    may = declared("user.write", _asked_by_the_call, 404, 409)
    create: dict[str, Any] = {"status_code": 201, "response_model": User, "summary": "Create a user"}
    routes.add_api_route("/users", admin.create_user, methods=["POST"], **create, **may)
    may = admin.rules.listing("user.read", "account")

    @routes.get("/users", response_model=Page[User], summary="List users", **may)
    async def list_users(request: Request, account_id: Which = None, after: After = "", limit: Limit = 100) -> dict[str, Any]:
        """List in id order, of one account if it is given."""
        accounts = readable(request)
        rows, next_after = await admin.users.page(after=after, limit=limit, account_id=account_id, accounts=accounts)
        return {"data": rows, "next_after": next_after}

    @routes.get("/users/{entity_id}", response_model=User, summary="Get a user", **admin.may.user("user.read"))
    async def get_user(entity_id: str, by: By) -> Row:
        """Get one, with the roles that the caller may know of."""
        return await admin.users.get(entity_id, admin.may.accounts(by.principal))

    @routes.patch("/users/{entity_id}", response_model=User, summary="Rename a user", **admin.may.user("user.write"))
    async def rename_user(entity_id: str, patch: UserPatch, by: By) -> Row:
        """Give another name."""
        return await admin.users.change(entity_id, "user.rename", patch, by, name=patch.name)

    may = admin.may.user("user.write", 409)

    @routes.post("/users/{entity_id}/deactivate", response_model=User, summary="Deactivate a user", **may)
    async def deactivate_user(entity_id: str, by: By, why: Because | None = None) -> Row:
        """Let none of the user's tokens count any more. Nobody but an operator does so with an account's last owner."""
        return await admin.users.change(entity_id, "user.deactivate", why or Because(), by, active=False)

    @routes.post("/users/{entity_id}/activate", response_model=User, summary="Activate a user", **admin.may.user("user.write"))
    async def activate_user(entity_id: str, by: By, why: Because | None = None) -> Row:
        """Let the user's tokens count again, but for those that were revoked."""
        return await admin.users.change(entity_id, "user.activate", why or Because(), by, active=True)


def _add_grants(routes: APIRouter, admin: UserAdmin) -> None:
    give: dict[str, Any] = {"status_code": 201, "response_model": GivenRole, "summary": "Give a user a role"}
    may = declared("user.write", admin.may.known_user, 404, 409)
    routes.add_api_route("/users/{entity_id}/grants", admin.give, methods=["POST"], **give, **may)

    @routes.get("/grants", response_model=Page[GivenRole], summary="List roles", **admin.rules.listing("user.read", "account"))
    async def list_grants(
        request: Request, account_id: Which = None, user_id: Which = None, after: After = "", limit: Limit = 100
    ) -> dict[str, Any]:
        """List the roles that were given in id order, of one account or one user if they are given."""
        rows, next_after = await admin.users.grants(
            after=after, limit=limit, account_id=account_id, user_id=user_id, accounts=readable(request)
        )
        return {"data": rows, "next_after": next_after}

    may = admin.over_grant("user.write")

    @routes.post("/grants/{entity_id}/take", response_model=GivenRole, summary="Take a role away", **may)
    async def take(entity_id: str, by: By, why: Because | None = None) -> Row:
        """Take a role away, and give it back as it was. Nobody but an operator takes that of an account's last owner."""
        return await admin.users.take(entity_id, why or Because(), by)


def _add_tokens(routes: APIRouter, admin: UserAdmin) -> None:
    path = "/users/{entity_id}/tokens"

    @routes.post(
        path,
        status_code=201,
        response_model=CreatedAccessToken,
        summary="Create an access token of a user",
        **admin.may.user("user.write", 409),
    )
    async def create_token(
        entity_id: str, body: AccessTokenBody, request: Request, by: By, idempotency_key: IdempotencyKey = None
    ) -> Response:
        """Create one. The reply shows `access_token` once. It may do what the user may."""
        return await admin.create_token(entity_id, body, request, by, idempotency_key)

    may = admin.may.user("user.read")

    @routes.get(path, response_model=Page[AccessToken], summary="List the access tokens of a user", **may)
    async def list_tokens(entity_id: str, by: By, after: After = "", limit: Limit = 100) -> dict[str, Any]:
        """List in id order, without their secrets. Whoever may not give every role of the user sees the tokens they made."""
        made_by = await admin.may.sees_tokens_made_by(by.principal, entity_id)
        rows, next_after = await admin.tokens.page(entity_id, after=after, limit=limit, made_by=made_by)
        return {"data": rows, "next_after": next_after}

    may = admin.may.user("user.write")

    @routes.post(f"{path}/{{token_id}}/revoke", response_model=AccessToken, summary="Revoke an access token of a user", **may)
    async def revoke_token(entity_id: str, token_id: str, by: By, why: Because | None = None) -> Row:
        """End one for good."""
        return await admin.tokens.revoke(entity_id, token_id, why or Because(), by)


async def _asked_by_the_call() -> None:
    """What the call is about stands in its body alone."""
