"""Admin calls about one channel or model, the versions of the table, frozen channels, and the log of changes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import Annotated
from uuid import UUID

import orjson
from fastapi import Query, Request
from fastapi.responses import JSONResponse, Response

from schemas.access import ALL, ROLE_NOT_ALLOWED, Permission, Principal, Verdict, refusal
from services.router.admin_models import (
    AuditEntry,
    Because,
    ChannelShown,
    FreezeShown,
    ModelShown,
    OneTable,
    Page,
    TableInForce,
    TableVersion,
)
from services.router.admin_routes import AdminRoutes, Json, body_of, bounded_body
from services.router.catalog import Catalog
from services.router.change_log import ChangeLog, LogQuery
from services.router.entities import Kind, row_in, with_row, without_row
from services.router.errors import AdminError, EntityMissingError
from services.router.freeze_store import FreezeStore, shown
from services.router.freezes import Freezes
from services.router.guard import who_of
from services.router.route_files import RouteFiles
from services.router.route_store import RouteStore
from services.router.table import ChannelRow, ModelRow
from services.router.table_writing import Part, TableWriter
from services.router.tables import Tables

Expected = Annotated[int | None, Query(ge=0, le=2**62)]
Limit = Annotated[int, Query(ge=1, le=500)]
Text = Annotated[str | None, Query(max_length=256)]
AUDIT: Permission = "audit.read"


class EntityDesk:
    """The handlers and what they need."""

    def __init__(
        self,
        *,
        store: RouteStore,
        files: RouteFiles,
        writer: TableWriter,
        tables: Tables,
        freezes: Freezes,
        freeze_store: FreezeStore,
        obey: Callable[[], Awaitable[None]],
        change_log: ChangeLog,
    ) -> None:
        self._store = store
        self._files = files
        self._writer = writer
        self._tables = tables
        self._freezes = freezes
        self._freeze_store = freeze_store
        self._obey = obey
        self._change_log = change_log

    async def get_channel(self, channel_id: str) -> Response:
        """Get one channel of the table in force, as it can be put back."""
        exported = await self._files.export()
        row = row_in(exported.table, "channel", channel_id)
        channel, frozen = self._tables.catalog.channels.get(channel_id), self._freezes.channels.get(channel_id)
        fault = None if channel is None else channel.fault
        out = channel is not None and not channel.keys
        found = {"object": "channel", "table_version": exported.version, "channel": row, "out_of_service": out, "fault": fault}
        return JSONResponse({**found, "freeze": None if frozen is None else _freeze_shown(shown(frozen))})

    async def put_channel(self, channel_id: str, request: Request, expected_version: Expected = None) -> Response:
        """Put one channel in force, a new one or in place of the one of this id: a new version of the whole table."""
        return await self._put("channel", channel_id, request, expected_version)

    async def delete_channel(self, channel_id: str, request: Request, expected_version: Expected = None) -> Response:
        """Take one channel out of the table, if no model's candidates name it."""
        return await self._delete("channel", channel_id, request, expected_version)

    async def list_models(self, after: Text = None, limit: Limit = 100) -> Response:
        """List the models of the table in force, by id."""
        exported = await self._files.export()
        rows = sorted((row for row in exported.table["models"] if after is None or row["id"] > after), key=_id_of)
        data = [{"object": "model", "table_version": exported.version, "model": row} for row in rows[:limit]]
        return _page(data, rows[limit - 1]["id"] if len(rows) > limit else None)

    async def get_model(self, model_id: str) -> Response:
        """Get one model of the table in force."""
        exported = await self._files.export()
        row = row_in(exported.table, "model", model_id)
        return JSONResponse({"object": "model", "table_version": exported.version, "model": row})

    async def put_model(self, model_id: str, request: Request, expected_version: Expected = None) -> Response:
        """Put one model in force, a new one or in place of the one of this id: a new version of the whole table."""
        return await self._put("model", model_id, request, expected_version)

    async def delete_model(self, model_id: str, request: Request, expected_version: Expected = None) -> Response:
        """Take one model out of the table."""
        return await self._delete("model", model_id, request, expected_version)

    async def freeze(self, channel_id: str, request: Request, why: Because | None = None) -> Response:
        """Take a channel out of use at once, on every instance, whatever table is in force or comes."""
        return await self._decide(channel_id, request, why or Because(), frozen=True)

    async def unfreeze(self, channel_id: str, request: Request, why: Because | None = None) -> Response:
        """Let a frozen channel be used again."""
        return await self._decide(channel_id, request, why or Because(), frozen=False)

    async def list_versions(self, after: Annotated[int | None, Query(ge=1, le=2**62)] = None, limit: Limit = 100) -> Response:
        """List the versions of the table, the newest first."""
        rows = await self._store.versions(after, limit + 1)
        data = [_version_shown(row, self._tables.catalog.version) for row in rows[:limit]]
        return _page(data, str(data[-1]["version"]) if len(rows) > limit else None)

    async def get_version(self, version: int) -> Response:
        """Get one version of the table, without secrets."""
        row = await self._store.one_version(version) if 0 < version < 2**63 else None
        if row is None:
            raise EntityMissingError(f"There is no version {version} of the route table.")
        document = row.pop("document")
        row |= {"channels": len(document["channels"]), "models": len(document["models"])}
        return JSONResponse({**_version_shown(row, self._tables.catalog.version), "table": document})

    async def audit_log(
        self,
        request: Request,
        *,
        account_id: Text = None,
        entity_kind: Text = None,
        entity_id: Text = None,
        actor: Text = None,
        since: datetime | None = None,
        until: datetime | None = None,
        after: UUID | None = None,
        limit: Limit = 100,
    ) -> Response:
        """List who changed what here, the newest first: who, what, before, after, why."""
        if not _may_see(request.state.principal, account_id):
            return _page([], None)
        asked = LogQuery(after, limit, entity_kind, entity_id, actor, account_id, since, until)
        rows, next_after = await self._change_log.page(asked)
        data = [{"object": "audit_entry", **row, "id": str(row["id"]), "at": row["at"].isoformat()} for row in rows]
        return _page(data, None if next_after is None else str(next_after))

    async def _put(self, kind: Kind, id_: str, request: Request, expected: int | None) -> Response:
        try:
            given = orjson.loads(await bounded_body(request))
        except orjson.JSONDecodeError:
            raise AdminError(400, "invalid_json", "The body of the request is not valid JSON.") from None
        part = Part(kind, id_, f"{kind}.put", partial(with_row, kind=kind, id_=id_, given=given))
        return self._told(await self._writer.change(part, who_of(request), expected))

    async def _delete(self, kind: Kind, id_: str, request: Request, expected: int | None) -> Response:
        part = Part(kind, id_, f"{kind}.delete", partial(without_row, kind=kind, id_=id_))
        return self._told(await self._writer.change(part, who_of(request), expected))

    async def _decide(self, channel_id: str, request: Request, why: Because, *, frozen: bool) -> Response:
        if channel_id not in self._tables.catalog.channels and channel_id not in self._freezes.channels:
            raise EntityMissingError(f"The route table in force has no channel {channel_id!r}.")
        who = who_of(request, why.author, why.reason)
        decided = await self._freeze_store.decide(channel_id, who, frozen=frozen)
        await self._obey()
        await self._writer.announce()
        return JSONResponse(_freeze_shown(shown(decided)))

    def _told(self, version: int) -> Response:
        return JSONResponse({"version": version, "faults": faults(self._tables.catalog)})


def faults(catalog: Catalog) -> list[Json]:
    """The channels of a table that have a key which cannot be used."""
    return [{"channel": c.id, "out_of_service": not c.keys, "reason": c.fault} for c in catalog.channels.values() if c.fault]


def add_entities(routes: AdminRoutes, desk: EntityDesk) -> None:
    """Hang the handlers in."""
    for kind, row, of in (("channel", ChannelRow, ChannelShown), ("model", ModelRow, ModelShown)):
        path, body = f"/admin/{kind}s/{{{kind}_id:path}}", body_of(row.__name__, "application/json")
        if kind == "channel":
            for verb, handler in (("freeze", desk.freeze), ("unfreeze", desk.unfreeze)):
                routes.add("POST", f"{path}/{verb}", handler, permission="channel.freeze", model=FreezeShown, errors=(404, 422))
        getter, putter, taker = (getattr(desk, f"{verb}_{kind}") for verb in ("get", "put", "delete"))
        routes.add("GET", path, getter, permission="route.read", model=of, errors=(404,))
        put_errors = (400, 404, 409, 422)
        routes.add("PUT", path, putter, permission="route.write", model=TableInForce, errors=put_errors, extra=body)
        routes.add("DELETE", path, taker, permission="route.write", model=TableInForce, errors=(404, 409, 422))
    routes.add("GET", "/admin/models", desk.list_models, permission="route.read", model=Page[ModelShown], errors=(422,))
    versions = "/admin/routes/versions"
    routes.add("GET", versions, desk.list_versions, permission="route.read", model=Page[TableVersion], errors=(422,))
    one = versions + "/{version}"
    routes.add("GET", one, desk.get_version, permission="route.read", model=OneTable, errors=(404, 422))
    # An account's owner may read the log of that account, of which router has nothing: the handler narrows what is shown.
    log = {"x-tollbook-permission": AUDIT}
    log_model = Page[AuditEntry]
    routes.add("GET", "/admin/audit-log", desk.audit_log, permission=None, model=log_model, errors=(403, 404, 422), extra=log)


def _may_see(principal: Principal, account_id: str | None) -> bool:
    """Whether the caller sees the installation's entries. Raises :class:`AdminError` for who may read no log."""
    if account_id is not None:
        verdict = principal.verdict(AUDIT, account_id)
        if verdict is Verdict.UNKNOWN:
            raise AdminError(404, "account_not_found", f"There is no account {account_id!r}.", "account_id")
        refused = verdict is Verdict.REFUSED
    else:
        refused = not principal.accounts_with(AUDIT)
    if refused:
        raise AdminError(403, ROLE_NOT_ALLOWED, refusal(AUDIT))
    return principal.accounts_with(AUDIT) is ALL


def _freeze_shown(document: Json) -> Json:
    return {"object": "channel_freeze", **document}


def _version_shown(row: Json, in_force: int) -> Json:
    shown_at = {"created_at": row["created_at"].isoformat(), "in_force": row["version"] == in_force}
    return {"object": "route_table_version", **row, **shown_at}


def _page(data: list[Json], next_after: str | None) -> Response:
    return JSONResponse({"object": "list", "data": data, "next_after": next_after})


def _id_of(row: Json) -> str:
    id_: str = row["id"]
    return id_
