"""`/admin/ledger/…`: audits of the whole ledger, started here and done by processes of their own."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Annotated, Any
from uuid import UUID

import psycopg
from fastapi import APIRouter, Depends, Query, Request, Response
from psycopg.rows import TupleRow

from services.settlement.admin_api import Reply
from services.settlement.audit import audit_store
from services.settlement.audit.audit_store import AuditOrder
from services.settlement.audit.process import AuditProcesses
from services.settlement.http_edges import Tokens

Connect = Callable[[], AbstractContextManager[psycopg.Connection[TupleRow]]]
AUTHOR = "admin"


def audit_router(*, connect: Connect, processes: AuditProcesses, tokens: Tokens) -> APIRouter:
    """The routes, each behind the admin token."""

    def authorize(request: Request) -> None:
        given = request.headers.get("authorization")
        tokens.check(given.encode() if given else None)

    router = APIRouter(prefix="/admin/ledger", dependencies=[Depends(authorize)])

    @router.post("/checks")
    async def post_check(order: AuditOrder) -> Response:
        def start() -> dict[str, Any]:
            with connect() as connection:
                return audit_store.read(connection, audit_store.start(connection, order, author=AUTHOR))

        audit = await asyncio.to_thread(start)
        await processes.start(audit["id"])
        return Reply(audit, status_code=202)

    @router.get("/checks")
    def get_checks(limit: Annotated[int, Query(ge=1, le=100)] = 20) -> Response:
        with connect() as connection:
            return Reply({"data": audit_store.newest(connection, limit=limit)})

    @router.get("/checks/{audit_id}")
    def get_check(audit_id: UUID) -> Response:
        with connect() as connection:
            return Reply(audit_store.read(connection, audit_id))

    return router
