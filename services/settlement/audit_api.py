"""`/admin/ledger/…`: audits of the whole ledger, started here and done by processes of their own."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Annotated
from uuid import UUID

import psycopg
from fastapi import APIRouter, Query, Response
from psycopg.rows import TupleRow

from services.settlement.admin_calls import CHANGING, Repeatable, operation
from services.settlement.admin_models import Page
from services.settlement.audit import audit_store
from services.settlement.audit.audit_store import AuditOrder
from services.settlement.audit.process import AuditProcesses
from services.settlement.audit_log import Change
from services.settlement.case_models import Audit, AuditRow
from services.settlement.changes import Made, Reply, change, page_of

Connection = psycopg.Connection[TupleRow]
Connect = Callable[[], AbstractContextManager[Connection]]
AUTHOR = "admin"


def audit_router(*, connect: Connect, processes: AuditProcesses) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix="/admin/ledger")

    @router.post(
        "/checks",
        status_code=202,
        response_model=Audit,
        **operation("ledger.write", "Start a check of the ledger", errors=CHANGING),
    )
    async def start_check(order: AuditOrder, call: Repeatable) -> Response:
        """Done by a process of its own, one at a time: ask for it again under its id."""
        started: list[UUID] = []

        def make(connection: Connection) -> Made:
            audit_id = audit_store.start(connection, order, author=call.author(AUTHOR))
            started.append(audit_id)
            asked = order.model_dump(mode="json", exclude={"loaded"})
            entry = Change(action="ledger.check", entity_kind="ledger_check", entity_id=str(audit_id), after=asked)
            return Made(answer=audit_store.read(connection, audit_id), status=202, changes=[entry])

        reply = await asyncio.to_thread(change, connect, call, make)
        for audit_id in started:
            await processes.start(audit_id)
        return reply

    @router.get("/checks", response_model=Page[AuditRow], **operation("ledger.read", "List the checks of the ledger"))
    def list_checks(after: UUID | None = None, limit: Annotated[int, Query(ge=1, le=100)] = 20) -> Response:
        """The newest first, without their results."""
        with connect() as connection:
            found = audit_store.newest(connection, after=after, limit=limit + 1)
        return Reply(page_of(found, limit, lambda row: row["id"]))

    @router.get(
        "/checks/{audit_id}", response_model=Audit, **operation("ledger.read", "Show a check of the ledger", errors=[404])
    )
    def show_check(audit_id: UUID) -> Response:
        """With its progress and, once it is done, its result."""
        with connect() as connection:
            return Reply(audit_store.read(connection, audit_id))

    return router
