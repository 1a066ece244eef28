"""The routes of accounts, projects and keys: where they lie, what they need, what OpenAPI says of them."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from schemas.access import Permission
from services.edge.access_guard import By
from services.edge.access_rules import Route, readable
from services.edge.admin import MODELS, Admin
from services.edge.admin_models import (
    Account,
    Because,
    Change,
    CreatedKey,
    FreezeBecause,
    InnerPolicyChange,
    Key,
    Page,
    PolicyChange,
    Project,
)
from services.edge.announcing import Kind
from services.edge.database import Row

After = Annotated[str, Query(max_length=128)]
Limit = Annotated[int, Query(ge=1, le=500)]
Version = Annotated[int, Query(ge=0, le=2**62)]
Parent = Annotated[str | None, Query(max_length=128)]
PARENT_OF: dict[Kind, Kind | None] = {"account": None, "project": "account", "key": "project"}
NAMED: dict[Kind, str] = {"account": "an account", "project": "a project", "key": "an API key"}
SUMMARIES = {"freeze": "Freeze", "unfreeze": "Unfreeze", "policy": "Set the policy of"}
WRITE: dict[Kind, Permission] = {"account": "account.write", "project": "project.write", "key": "key.write"}
READ: dict[Kind, Permission] = {"account": "account.read", "project": "project.read", "key": "key.read"}


def admin_routes(admin: Admin) -> APIRouter:
    """The routes of the admin API."""
    routes = APIRouter()
    rules = admin.rules
    add = partial(routes.add_api_route, methods=["POST"], status_code=201)
    may_create = rules.installation("account.create", 409)
    add("/accounts", admin.create_account, response_model=Account, summary="Create an account", **may_create)
    may_create = rules.body("project.write", "account")
    add("/projects", admin.create_project, response_model=Project, summary="Create a project", **may_create)
    may_create = rules.body("key.write", "project")
    add("/keys", admin.create_key, response_model=CreatedKey, summary="Create an API key", **may_create)
    for kind, parent in PARENT_OF.items():
        _add_reading(routes, admin, kind, parent)
        _add_changing(routes, admin, kind)

    async def revoke(entity_id: str, by: By, why: Because | None = None) -> Row:
        """Revoke a key for good."""
        return await admin.revoke(entity_id, why or Because(), by)

    may = rules.entity("key.write", "key")
    routes.add_api_route(
        "/keys/{entity_id}/revoke", revoke, methods=["POST"], response_model=Key, summary="Revoke an API key", **may
    )
    return routes


def _add_reading(routes: APIRouter, admin: Admin, kind: Kind, parent_kind: Kind | None) -> None:
    """List, get and history of one kind."""
    model, permission, parent_name = MODELS[kind], READ[kind], f"{parent_kind}_id"

    async def listed(request: Request, after: After = "", limit: Limit = 100) -> dict[str, Any]:
        """List in id order."""
        return await admin.page(kind, after, limit, None, readable(request))

    async def listed_of(
        request: Request,
        parent: Annotated[str | None, Query(alias=parent_name, max_length=128)] = None,
        after: After = "",
        limit: Limit = 100,
    ) -> dict[str, Any]:
        """List in id order, of one parent if it is given."""
        return await admin.page(kind, after, limit, parent, readable(request))

    async def got(entity_id: str) -> Row:
        """Get one."""
        return await admin.get(kind, entity_id)

    async def changed(entity_id: str, after: Version = 0, limit: Limit = 100) -> dict[str, Any]:
        """List what was done to one, in order: who, what, when, why. `GET /audit-log` tells more."""
        return await admin.changes(kind, entity_id, after, limit)

    add = partial(routes.add_api_route, methods=["GET"])
    lister = listed if parent_kind is None else listed_of
    may = admin.rules.listing(permission, parent_kind)
    add(f"/{kind}s", lister, response_model=Page[model], name=f"list_{kind}s", summary=f"List {kind}s", **may)  # type: ignore[valid-type]
    may = admin.rules.entity(permission, kind)
    one = f"/{kind}s/{{entity_id}}"
    add(one, got, response_model=model, name=f"get_{kind}", summary=f"Get {NAMED[kind]}", **may)
    told: Route = {"name": f"list_changes_of_{kind}", "summary": f"List what was done to {NAMED[kind]}"}
    add(f"{one}/changes", changed, response_model=Page[Change], **told, **may)


def _add_changing(routes: APIRouter, admin: Admin, kind: Kind) -> None:
    """Freeze, unfreeze and policy of one kind."""

    async def frozen(entity_id: str, by: By, why: FreezeBecause | None = None) -> Row:
        """Freeze: requests are refused at once."""
        return await admin.freeze(kind, entity_id, why or FreezeBecause(), by, frozen=True)

    async def unfrozen(entity_id: str, by: By, why: Because | None = None) -> Row:
        """Unfreeze."""
        return await admin.freeze(kind, entity_id, why or Because(), by, frozen=False)

    async def ruled(entity_id: str, change: PolicyChange, by: By) -> Row:
        """Put another policy in place, or with null none: what the envelopes around and within say counts then."""
        return await admin.set_policy(kind, entity_id, change, by)

    async def ruled_within(entity_id: str, change: InnerPolicyChange, by: By) -> Row:
        """The same for what lies within an account."""
        return await admin.set_policy(kind, entity_id, change, by)

    rule = ruled if kind == "account" else ruled_within
    changes: list[tuple[str, Permission, Callable[..., Awaitable[Row]]]] = [
        ("freeze", "freeze", frozen),
        ("unfreeze", "freeze", unfrozen),
        ("policy", WRITE[kind], rule),
    ]
    for verb, permission, change in changes:
        told: Route = {"name": f"{verb}_{kind}", "summary": f"{SUMMARIES[verb]} {NAMED[kind]}"}
        may = admin.rules.entity(permission, kind)
        path = f"/{kind}s/{{entity_id}}/{verb}"
        routes.add_api_route(path, change, methods=["POST"], response_model=MODELS[kind], **told, **may)
