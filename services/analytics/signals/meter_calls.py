"""What the meter asks: `GET /internal/meter/rules` and `/internal/meter/baselines`. 204 where it knows it already."""

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from services.analytics.admin_api import bearer_only, json_response
from services.analytics.signals.history import Usuals
from services.analytics.signals.rule_book import RuleBook

Known = Annotated[int, Query(ge=0, le=2**62)]


def router(book: RuleBook, usuals: Callable[[], Usuals], service_token: str) -> APIRouter:
    """The calls. Without a service token nobody may make them."""
    routes = APIRouter(prefix="/internal/meter", include_in_schema=False)
    if not service_token:
        return routes
    may = [Depends(bearer_only(service_token))]

    @routes.get("/rules", dependencies=may)
    async def told_rules(known: Known = 0) -> Response:
        # A process that has just started, or never reached Postgres, has read none yet: the meter goes on by what it knows.
        if not book.is_read or known == book.version:
            return Response(status_code=204)
        return json_response({"version": book.version, "file": book.file})

    @routes.get("/baselines", dependencies=may)
    async def told_baselines(known: Known = 0) -> Response:
        found = usuals()
        # A process that has just started has read none yet: the meter goes on by what it knows.
        if not found.hour or known == found.hour:
            return Response(status_code=204)
        return json_response({"hour": found.hour, "keys": found.keys, "errors": found.errors, "burned": found.burned})

    return routes
