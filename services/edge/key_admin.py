"""Admin calls that change how an account, a project or a key is used, and give a key another secret."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request, Response

from schemas.access import ROLE_NOT_ALLOWED, Principal
from schemas.control import ControlRecord
from schemas.envelope import now
from services.edge.access_guard import Actor, By
from services.edge.access_rules import AccessRules
from services.edge.admin import IdempotencyKey
from services.edge.admin_models import Account, Key, Project
from services.edge.admin_replies import AdminReplies
from services.edge.admin_store import AdminStore, EntityChange
from services.edge.announcing import Kind
from services.edge.api_keys import Peppers, PresentedKey
from services.edge.database import Connection, Row
from services.edge.errors import ConflictError, ForbiddenError
from services.edge.key_models import EntityPatch, KeyPatch, RotatedKey, Rotation
from services.edge.key_times import parse_expiry, parse_overlap
from services.edge.labels import refuse_repeated


class KeyAdmin:
    """What the routes do. `announce` is told of every committed change, so that this process obeys it at once."""

    def __init__(
        self,
        store: AdminStore,
        replies: AdminReplies,
        peppers: Peppers,
        announce: Callable[[ControlRecord], None],
        clock: Callable[[], datetime] = now,
    ) -> None:
        self._store = store
        self._replies = replies
        self._peppers = peppers
        self._announce = announce
        self._clock = clock

    async def patch(self, kind: Kind, entity_id: str, patch: EntityPatch, by: Actor) -> Row:
        """Change what the patch names."""
        changes = {name: getattr(patch, name) for name in patch.model_fields_set - {"author", "reason"}}
        if changes.get("expires_at") is not None:
            changes["expires_at"] = parse_expiry(changes["expires_at"], self._clock())
        row, record = await self._store.patch(kind, entity_id, patch, by, changes)
        self._announce(record)
        return row

    async def rotate(
        self, key_id: str, rotation: Rotation, by: Actor, request: Request, idempotency_key: str | None
    ) -> Response:
        """Put another secret in place. The reply shows `api_key` once; the same idempotency key shows the same one."""
        refuse_repeated(request.scope["headers"])
        announced: list[ControlRecord] = []

        async def rotate(connection: Connection) -> bytes:
            row, record, token = await self._rotated(connection, key_id, rotation, by)
            announced.append(record)
            return RotatedKey(**row, api_key=token).model_dump_json().encode()

        reply = await self._replies.once(request.url.path, by, idempotency_key, await request.body(), rotate)
        for record in announced:
            self._announce(record)
        return Response(reply, media_type="application/json")

    async def _rotated(
        self, connection: Connection, key_id: str, rotation: Rotation, by: Actor
    ) -> tuple[Row, ControlRecord, str]:
        at = self._clock()
        until = parse_overlap(rotation.overlap, at)
        minted = PresentedKey(key_id, PresentedKey.mint().secret)
        values: dict[str, Any] = {
            "secret_hmac": self._peppers.digest(minted.secret, self._peppers.current),
            "pepper_version": self._peppers.current,
            "overlaps": until > at,
            "previous_expires_at": until,
        }
        change = EntityChange("key", key_id, "rotate_key", "rotate", rotation, "rotated")
        row, record = await self._store.change(connection, change, by, values)
        if row["revoked"]:
            raise ConflictError("key_revoked", "This key was revoked for good: create another one.", param="key_id")
        return row, record, minted.token()


def require_may_pace(principal: Principal, patch: EntityPatch) -> None:
    """Raise where an owner asks for another pace of the account: that is what the installation grants it."""
    rates = patch.model_fields_set & {"requests_per_minute", "tokens_per_minute"}
    if rates and not principal.may("account.create", None):
        message = (
            f"Only an operator changes {' and '.join(sorted(rates))} of an account, which share out the installation:"
            " ask for the role operator, or limit the account's projects and keys."
        )
        raise ForbiddenError(ROLE_NOT_ALLOWED, message)


def key_admin_routes(admin: KeyAdmin, rules: AccessRules) -> APIRouter:
    """The routes: PATCH of the three kinds, and rotation."""
    routes = APIRouter()
    may = rules.entity("account.write", "account")

    @routes.patch("/accounts/{entity_id}", response_model=Account, summary="Change an account", **may)
    async def patch_account(entity_id: str, patch: EntityPatch, by: By) -> Row:
        """Rename an account, or, as an operator, change what its calls may come to in a minute."""
        require_may_pace(by.principal, patch)
        return await admin.patch("account", entity_id, patch, by)

    may = rules.entity("project.write", "project")

    @routes.patch("/projects/{entity_id}", response_model=Project, summary="Change a project", **may)
    async def patch_project(entity_id: str, patch: EntityPatch, by: By) -> Row:
        """Rename a project, or change what its calls may come to in a minute."""
        return await admin.patch("project", entity_id, patch, by)

    may = rules.entity("key.write", "key")

    @routes.patch("/keys/{entity_id}", response_model=Key, summary="Change an API key", **may)
    async def patch_key(entity_id: str, patch: KeyPatch, by: By) -> Row:
        """Rename or relabel a key, change its expiry, its allow-list of addresses, its requests and tokens per minute."""
        return await admin.patch("key", entity_id, patch, by)

    may = rules.entity("key.write", "key", 409)

    @routes.post("/keys/{entity_id}/rotate", response_model=RotatedKey, summary="Rotate an API key", **may)
    async def rotate_key(
        entity_id: str, request: Request, by: By, rotation: Rotation | None = None, idempotency_key: IdempotencyKey = None
    ) -> Response:
        """Give a key another secret. The former one works until the overlap ends; the one before that ends at once."""
        return await admin.rotate(entity_id, rotation or Rotation(), by, request, idempotency_key)

    return routes
