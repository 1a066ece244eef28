"""What each admin route needs: declared once, asked for before the route runs, and told in OpenAPI.

A route takes the keyword arguments that one of these methods gives. What is nobody's business is answered in the words of an
id that does not exist.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Request
from fastapi.routing import APIRoute

from schemas.access import ALL, ANY_TOKEN, PERMISSION_FIELD, ROLE_NOT_ALLOWED, Permission, Principal, Verdict, refusal
from services.edge.access_guard import actor_of
from services.edge.admin_errors import replies
from services.edge.database import Database
from services.edge.errors import ForbiddenError, NotFoundError

Route = dict[str, Any]
EntityId = Annotated[str, Path(max_length=128)]
_NEED: Final = "need"
_ACCOUNTS: Final = "accounts"


class AccessRules:
    """Looks up whose an entity is, and decides by the one table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def entity(self, permission: Permission, kind: str, *statuses: int) -> Route:
        """A route about `{entity_id}` of this kind: account, project or key."""

        async def check(entity_id: EntityId, request: Request) -> None:
            await self.require(actor_of(request).principal, permission, kind, entity_id)

        return declared(permission, check, 404, *statuses)

    def body(self, permission: Permission, kind: str) -> Route:
        """A route whose body names what it is about: it calls :meth:`about` once it has read it."""

        async def check(request: Request) -> None:
            request.scope["state"][_NEED] = (permission, kind)

        return declared(permission, check, 404, 409)

    async def about(self, request: Request, entity_id: str) -> None:
        """Ask for what :meth:`body` declared, of the entity that the body names."""
        permission, kind = request.scope["state"][_NEED]
        await self.require(actor_of(request).principal, permission, kind, entity_id)

    def listing(self, permission: Permission, parent: str | None) -> Route:
        """A list, of one parent if the query names it; :func:`readable` says what it is narrowed to."""

        async def check(request: Request) -> None:
            principal = actor_of(request).principal
            named = request.query_params.get(f"{parent}_id") if parent else None
            if parent is not None and named is not None:
                await self.require(principal, permission, parent, named, always=True)
            accounts = principal.accounts_with(permission)
            if accounts is not ALL and not accounts:
                raise ForbiddenError(ROLE_NOT_ALLOWED, refusal(permission))
            request.scope["state"][_ACCOUNTS] = None if accounts is ALL else sorted(accounts)

        return declared(permission, check, *([404] if parent else []))

    def installation(self, permission: Permission, *statuses: int) -> Route:
        """A route about the installation as a whole."""

        async def check(request: Request) -> None:
            if not actor_of(request).principal.may(permission, None):
                raise ForbiddenError(ROLE_NOT_ALLOWED, refusal(permission))

        return declared(permission, check, *statuses)

    async def require(
        self, principal: Principal, permission: Permission, kind: str, entity_id: str, *, always: bool = False
    ) -> None:
        """Raise what a call about the entity is refused with. What root names need only exist where `always` is said."""
        if principal.root and not always:
            return
        row = await self._database.row(f"account_of_{kind}", {"id": entity_id})
        verdict = Verdict.UNKNOWN if row is None else principal.verdict(permission, row["account_id"])
        if verdict is Verdict.UNKNOWN:
            raise missing(kind, entity_id)
        if verdict is Verdict.REFUSED:
            raise ForbiddenError(ROLE_NOT_ALLOWED, refusal(permission))


def anybody(*statuses: int) -> Route:
    """A route for everybody with a token that counts."""

    async def check(request: Request) -> None:
        actor_of(request)

    return declared(ANY_TOKEN, check, *statuses)


def declared(permission: str, check: Callable[..., Awaitable[None]], *statuses: int) -> Route:
    """The arguments of a route that is checked so; `statuses` are the refusals beside those that every route has."""
    return {
        "dependencies": [Depends(check)],
        "openapi_extra": {PERMISSION_FIELD: permission},
        "responses": replies(*statuses),
    }


def readable(request: Request) -> list[str] | None:
    """The accounts that a list is narrowed to, None for all of them."""
    accounts: list[str] | None = request.scope["state"][_ACCOUNTS]
    return accounts


def missing(kind: str, entity_id: str) -> NotFoundError:
    """There is no such entity, or none that the caller may know of."""
    return NotFoundError(f"{kind}_not_found", f"There is no {kind} {entity_id!r}.", param=f"{kind}_id")


def require_declared(routes: APIRouter) -> None:
    """Raise ValueError for a route that declares no permission: it would be open to everybody with a token."""
    for route in routes.routes:
        if isinstance(route, APIRoute) and PERMISSION_FIELD not in (route.openapi_extra or {}):
            raise ValueError(f"the admin route {route.path} declares no permission: give it what AccessRules makes")
