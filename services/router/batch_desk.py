"""What edge and the operator ask router about batches; the work itself is the batch worker's."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Query
from fastapi.responses import JSONResponse, Response

from schemas.batches import BATCH_ID, BatchProgressList
from services.router.admin import AdminDesk
from services.router.admin_models import Batches
from services.router.admin_routes import AdminRoutes
from services.router.batch.store import BatchStore
from services.router.guard import Guard

IDS_MAX = 100


class BatchDesk:
    """The handlers."""

    def __init__(self, store: BatchStore) -> None:
        self._store = store

    async def progress(self, id: Annotated[list[str], Query(max_length=IDS_MAX)]) -> Response:
        """How far batches are; those that were not read from the log yet are left out."""
        found = await self._store.progress([each for each in id if re.fullmatch(BATCH_ID, each)])
        return Response(BatchProgressList(data=found).to_json(), media_type="application/json")

    async def cancel(self, batch_id: str) -> Response:
        """Have no more lines of a batch begun, also where it is not read from the log yet."""
        if not re.fullmatch(BATCH_ID, batch_id):
            raise HTTPException(404, "There is no such batch.")
        await self._store.ask_to_cancel(batch_id)
        return JSONResponse({"cancelling": True}, 202)

    async def under_way(self) -> Response:
        """The batches that have not ended: who has them, and how many of their lines wait and run."""
        rows = await self._store.under_way()
        times = ("leased_until", "expires_at", "taken_in_at")
        data = [{**row, **{name: row[name] and row[name].isoformat() for name in times}} for row in rows]
        return JSONResponse({"data": data})


def add_batches(app: FastAPI, batches: BatchDesk, desk: AdminDesk, guard: Guard) -> None:
    """Hang the handlers in."""
    edge = [Depends(desk.require_edge)]
    app.add_api_route("/internal/batches", batches.progress, methods=["GET"], dependencies=edge, include_in_schema=False)
    cancel = "/internal/batches/{batch_id}/cancel"
    app.add_api_route(cancel, batches.cancel, methods=["POST"], dependencies=edge, include_in_schema=False)
    AdminRoutes(app, guard).add("GET", "/admin/batches", batches.under_way, permission="route.read", model=Batches)
