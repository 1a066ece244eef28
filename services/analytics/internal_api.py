"""What other services ask: why a request was refused that never reached the ledger."""

import time
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Depends
from starlette.responses import Response

from services.analytics.admin_api import bearer_only, json_response
from services.analytics.sqlfile import queries
from services.analytics.warehouse import Warehouse

LONGEST_REQUEST_US = 3600 * 1_000_000
CLOCK_SKEW_US = 60 * 1_000_000


def minted_us(request_id: UUID) -> int | None:
    """Microseconds since 1970 at which a UUIDv7 was minted; None for another kind of id."""
    return (request_id.int >> 80) * 1000 if request_id.version == 7 else None


async def rejections(warehouse: Warehouse, account_id: str, request_id: UUID) -> list[dict[str, Any]]:
    """The account's refused request of that id, as RequestRejected says: one row, or none."""
    minted = minted_us(request_id)
    if minted is None or minted > time.time() * 1_000_000 + CLOCK_SKEW_US:
        return []
    instants = {"from_us": minted - CLOCK_SKEW_US, "to_us": minted + LONGEST_REQUEST_US}
    asked = {"account_id": account_id, "request_id": str(request_id)}
    return await warehouse.rows(queries("warehouse.sql")["rejection"], asked | instants)


def router(warehouse: Warehouse, edge_token: str) -> APIRouter:
    """The routes under `/internal`, for edge."""
    routes = APIRouter(prefix="/internal", include_in_schema=False, dependencies=[Depends(bearer_only(edge_token))])

    @routes.get("/accounts/{account_id}/rejections/{request_id}")
    async def get_rejections(account_id: str, request_id: UUID) -> Response:
        return json_response({"data": await rejections(warehouse, account_id, request_id)})

    return routes
