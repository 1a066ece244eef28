"""The admin API: accounts, projects, keys. Mounted under /admin behind the admin token."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import BaseModel

from schemas.control import ControlRecord
from schemas.envelope import now
from services.edge.admin_models import (
    Account,
    AccountBody,
    Because,
    Change,
    CreatedKey,
    InnerPolicyChange,
    Key,
    KeyBody,
    Page,
    PolicyChange,
    Project,
    ProjectBody,
)
from services.edge.admin_replies import AdminReplies
from services.edge.admin_store import AdminStore, stored_policy
from services.edge.announcing import Kind
from services.edge.api_keys import Peppers, PresentedKey, random_text
from services.edge.database import Connection, Row
from services.edge.key_times import parse_expiry
from services.edge.labels import refuse_repeated

ID_LENGTH = 16
ACCOUNT_PREFIX = "acc_"
PROJECT_PREFIX = "prj_"

IdempotencyKey = Annotated[str | None, Header(alias="idempotency-key", min_length=1, max_length=128)]
After = Annotated[str, Query(max_length=128)]
Limit = Annotated[int, Query(ge=1, le=500)]
Version = Annotated[int, Query(ge=0, le=2**62)]
Parent = Annotated[str | None, Query(max_length=128)]
UNPACED = {"requests_per_minute": None, "tokens_per_minute": None}
MODELS: dict[Kind, type[BaseModel]] = {"account": Account, "project": Project, "key": Key}


class Admin:
    """What the routes do.

    `announce` is told of every committed change, so that this process obeys it at once, and `made` that something was made,
    so that the others hear of it at once.
    """

    def __init__(
        self,
        store: AdminStore,
        replies: AdminReplies,
        peppers: Peppers,
        announce: Callable[[ControlRecord], None],
        made: Callable[[], None],
    ) -> None:
        self._store = store
        self._replies = replies
        self._peppers = peppers
        self._announce = announce
        self._made = made

    async def create_account(self, body: AccountBody, request: Request, idempotency_key: IdempotencyKey = None) -> Response:
        """Create an account."""
        values = {
            "id": ACCOUNT_PREFIX + random_text(ID_LENGTH),
            "name": body.name,
            "policy": stored_policy(body.policy),
            **UNPACED,
        }
        return await self._create(request, idempotency_key, self._inserting("account", values))

    async def create_project(self, body: ProjectBody, request: Request, idempotency_key: IdempotencyKey = None) -> Response:
        """Create a project of an account."""
        values = {
            "id": PROJECT_PREFIX + random_text(ID_LENGTH),
            "account_id": body.account_id,
            "name": body.name,
            "policy": stored_policy(body.policy),
            **UNPACED,
        }
        return await self._create(request, idempotency_key, self._inserting("project", values))

    async def create_key(self, body: KeyBody, request: Request, idempotency_key: IdempotencyKey = None) -> Response:
        """Create a key of a project. The reply shows `api_key` once."""
        minted = PresentedKey.mint()

        async def insert(connection: Connection) -> bytes:
            row = await self._store.insert(connection, "key", self._key_values(body, minted))
            return CreatedKey(**row, api_key=minted.token()).model_dump_json().encode()

        return await self._create(request, idempotency_key, insert)

    async def page(self, kind: Kind, after: str, limit: int, parent: str | None) -> dict[str, Any]:
        """One page of a list."""
        rows, next_after = await self._store.page(kind, after=after, limit=limit, parent=parent)
        return {"data": rows, "next_after": next_after}

    async def get(self, kind: Kind, entity_id: str) -> Row:
        """One entity."""
        return await self._store.get(kind, entity_id)

    async def changes(self, kind: Kind, entity_id: str, after: int, limit: int) -> dict[str, Any]:
        """One page of what was done to an entity."""
        rows, next_after = await self._store.changes(kind, entity_id, after=after, limit=limit)
        return {"data": rows, "next_after": next_after}

    async def freeze(self, kind: Kind, entity_id: str, why: Because, *, frozen: bool) -> Row:
        """Freeze or unfreeze an entity."""
        row, record = await self._store.freeze(kind, entity_id, why, frozen=frozen)
        self._announce(record)
        return row

    async def set_policy(self, kind: Kind, entity_id: str, change: PolicyChange) -> Row:
        """Put another policy in place."""
        row, record = await self._store.set_policy(kind, entity_id, change)
        self._announce(record)
        return row

    async def revoke(self, key_id: str, why: Because) -> Row:
        """Revoke a key."""
        row, record = await self._store.revoke(key_id, why)
        self._announce(record)
        return row

    def _key_values(self, body: KeyBody, minted: PresentedKey) -> dict[str, Any]:
        return {
            "id": minted.key_id,
            "project_id": body.project_id,
            "name": body.name,
            "environment": body.environment,
            "policy": stored_policy(body.policy),
            "secret_hmac": self._peppers.digest(minted.secret, self._peppers.current),
            "pepper_version": self._peppers.current,
            "expires_at": None if body.expires_at is None else parse_expiry(body.expires_at, now()),
            "allowed_ips": body.allowed_ips,
            **UNPACED,
        }

    def _inserting(self, kind: Kind, values: dict[str, Any]) -> Callable[[Connection], Awaitable[bytes]]:
        async def insert(connection: Connection) -> bytes:
            return MODELS[kind](**await self._store.insert(connection, kind, values)).model_dump_json().encode()

        return insert

    async def _create(
        self, request: Request, idempotency_key: str | None, create: Callable[[Connection], Awaitable[bytes]]
    ) -> Response:
        refuse_repeated(request.scope["headers"])
        reply = await self._replies.once(request.url.path, idempotency_key, await request.body(), create)
        self._made()
        return Response(reply, status_code=201, media_type="application/json")


def admin_routes(admin: Admin) -> APIRouter:
    """The routes of the admin API."""
    routes = APIRouter()
    routes.add_api_route("/accounts", admin.create_account, methods=["POST"], status_code=201, response_model=Account)
    routes.add_api_route("/projects", admin.create_project, methods=["POST"], status_code=201, response_model=Project)
    routes.add_api_route("/keys", admin.create_key, methods=["POST"], status_code=201, response_model=CreatedKey)
    _add_entity(routes, admin, "account", parent_name=None)
    _add_entity(routes, admin, "project", parent_name="account_id")
    _add_entity(routes, admin, "key", parent_name="project_id")

    @routes.post("/keys/{entity_id}/revoke", response_model=Key)
    async def revoke(entity_id: str, why: Because | None = None) -> Row:
        """Revoke a key for good."""
        return await admin.revoke(entity_id, why or Because())

    return routes


def _add_entity(routes: APIRouter, admin: Admin, kind: Kind, parent_name: str | None) -> None:
    """List, get, freeze, unfreeze and policy of one kind."""
    model = MODELS[kind]

    async def listed(after: After = "", limit: Limit = 100) -> dict[str, Any]:
        """List in id order."""
        return await admin.page(kind, after, limit, None)

    async def listed_of(
        parent: Annotated[str | None, Query(alias=parent_name, max_length=128)] = None, after: After = "", limit: Limit = 100
    ) -> dict[str, Any]:
        """List in id order, of one parent if it is given."""
        return await admin.page(kind, after, limit, parent)

    async def got(entity_id: str) -> Row:
        """Get one."""
        return await admin.get(kind, entity_id)

    async def changed(entity_id: str, after: Version = 0, limit: Limit = 100) -> dict[str, Any]:
        """List what was done to one, in order: who, what, when, why."""
        return await admin.changes(kind, entity_id, after, limit)

    async def frozen(entity_id: str, why: Because | None = None) -> Row:
        """Freeze: requests are refused at once."""
        return await admin.freeze(kind, entity_id, why or Because(), frozen=True)

    async def unfrozen(entity_id: str, why: Because | None = None) -> Row:
        """Unfreeze."""
        return await admin.freeze(kind, entity_id, why or Because(), frozen=False)

    async def ruled(entity_id: str, change: PolicyChange) -> Row:
        """Put another policy in place, or with null none: what the envelopes around and within say counts then."""
        return await admin.set_policy(kind, entity_id, change)

    async def ruled_within(entity_id: str, change: InnerPolicyChange) -> Row:
        """The same for what lies within an account."""
        return await admin.set_policy(kind, entity_id, change)

    lister = listed if parent_name is None else listed_of
    routes.add_api_route(f"/{kind}s", lister, methods=["GET"], response_model=Page[model], name=f"list_{kind}s")  # type: ignore[valid-type]
    routes.add_api_route(f"/{kind}s/{{entity_id}}", got, methods=["GET"], response_model=model, name=f"get_{kind}")
    history = f"/{kind}s/{{entity_id}}/changes"
    routes.add_api_route(history, changed, methods=["GET"], response_model=Page[Change], name=f"list_changes_of_{kind}")
    rule = ruled if parent_name is None else ruled_within
    for verb, change in (("freeze", frozen), ("unfreeze", unfrozen), ("policy", rule)):
        path = f"/{kind}s/{{entity_id}}/{verb}"
        routes.add_api_route(path, change, methods=["POST"], response_model=model, name=f"{verb}_{kind}")
