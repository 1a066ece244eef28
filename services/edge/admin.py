"""The admin API: accounts, projects, keys. Mounted under /admin behind the guard; each route says what it needs."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import Header, Request, Response
from pydantic import BaseModel

from schemas.control import ControlRecord
from schemas.envelope import now
from services.edge.access_guard import Actor, By
from services.edge.access_rules import AccessRules
from services.edge.admin_models import (
    Account,
    AccountBody,
    Because,
    CreatedKey,
    Key,
    KeyBody,
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
MODELS: dict[Kind, type[BaseModel]] = {"account": Account, "project": Project, "key": Key}


class Admin:
    """What the routes do, once it is known that they may.

    `announce` is told of every committed change, so that this process obeys it at once, and `made` that something was made,
    so that the others hear of it at once.
    """

    def __init__(
        self,
        store: AdminStore,
        *,
        rules: AccessRules,
        replies: AdminReplies,
        peppers: Peppers,
        announce: Callable[[ControlRecord], None],
        made: Callable[[], None],
    ) -> None:
        self._store = store
        self.rules = rules
        self._replies = replies
        self._peppers = peppers
        self._announce = announce
        self._made = made

    async def create_account(
        self, body: AccountBody, request: Request, by: By, idempotency_key: IdempotencyKey = None
    ) -> Response:
        """Create an account."""
        values = {
            "id": ACCOUNT_PREFIX + random_text(ID_LENGTH),
            "name": body.name,
            "policy": stored_policy(body.policy),
            **_pace(body),
        }
        return await self._create(request, by, idempotency_key, self._inserting("account", values, by))

    async def create_project(
        self, body: ProjectBody, request: Request, by: By, idempotency_key: IdempotencyKey = None
    ) -> Response:
        """Create a project of an account."""
        await self.rules.about(request, body.account_id)
        values = {
            "id": PROJECT_PREFIX + random_text(ID_LENGTH),
            "account_id": body.account_id,
            "name": body.name,
            "policy": stored_policy(body.policy),
            **_pace(body),
        }
        return await self._create(request, by, idempotency_key, self._inserting("project", values, by))

    async def create_key(self, body: KeyBody, request: Request, by: By, idempotency_key: IdempotencyKey = None) -> Response:
        """Create a key of a project. The reply shows `api_key` once."""
        await self.rules.about(request, body.project_id)
        minted = PresentedKey.mint()

        async def insert(connection: Connection) -> bytes:
            row = await self._store.insert(connection, "key", self._key_values(body, minted), by)
            return CreatedKey(**row, api_key=minted.token()).model_dump_json().encode()

        return await self._create(request, by, idempotency_key, insert)

    async def page(self, kind: Kind, after: str, limit: int, parent: str | None, accounts: list[str] | None) -> dict[str, Any]:
        """One page of a list."""
        rows, next_after = await self._store.page(kind, after=after, limit=limit, parent=parent, accounts=accounts)
        return {"data": rows, "next_after": next_after}

    async def get(self, kind: Kind, entity_id: str) -> Row:
        """One entity."""
        return await self._store.get(kind, entity_id)

    async def changes(self, kind: Kind, entity_id: str, after: int, limit: int) -> dict[str, Any]:
        """One page of what was done to an entity."""
        rows, next_after = await self._store.changes(kind, entity_id, after=after, limit=limit)
        return {"data": rows, "next_after": next_after}

    async def freeze(self, kind: Kind, entity_id: str, why: Because, by: Actor, *, frozen: bool) -> Row:
        """Freeze or unfreeze an entity."""
        row, record = await self._store.freeze(kind, entity_id, why, by, frozen=frozen)
        self._announce(record)
        return row

    async def set_policy(self, kind: Kind, entity_id: str, change: PolicyChange, by: Actor) -> Row:
        """Put another policy in place."""
        row, record = await self._store.set_policy(kind, entity_id, change, by)
        self._announce(record)
        return row

    async def revoke(self, key_id: str, why: Because, by: Actor) -> Row:
        """Revoke a key."""
        row, record = await self._store.revoke(key_id, why, by)
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
            **_pace(body),
        }

    def _inserting(self, kind: Kind, values: dict[str, Any], by: Actor) -> Callable[[Connection], Awaitable[bytes]]:
        async def insert(connection: Connection) -> bytes:
            return MODELS[kind](**await self._store.insert(connection, kind, values, by)).model_dump_json().encode()

        return insert

    async def _create(
        self, request: Request, by: Actor, idempotency_key: str | None, create: Callable[[Connection], Awaitable[bytes]]
    ) -> Response:
        refuse_repeated(request.scope["headers"])
        reply = await self._replies.once(request.url.path, by, idempotency_key, await request.body(), create)
        self._made()
        return Response(reply, status_code=201, media_type="application/json")


def _pace(body: AccountBody | ProjectBody | KeyBody) -> dict[str, int | None]:
    return {"requests_per_minute": body.requests_per_minute, "tokens_per_minute": body.tokens_per_minute}
