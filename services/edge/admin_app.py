"""The admin API as an ASGI application: the guard before it, every error in one shape."""

from typing import Any

import structlog
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route
from starlette.types import ASGIApp

from services.edge.access_guard import AccessGuard
from services.edge.access_rules import require_declared
from services.edge.client_address import ClientAddresses
from services.edge.errors import (
    ApiError,
    InvalidRequestError,
    MethodNotAllowedError,
    NotFoundError,
    PeerUnavailableError,
    StoreUnavailableError,
    UnavailableError,
    UnprocessableError,
)
from services.edge.identities import Identities
from services.edge.replies import JSON_TYPE

log = structlog.get_logger(__name__)


class AdminApi(FastAPI):
    """Says in OpenAPI what stands before every operation."""

    def openapi(self) -> dict[str, Any]:
        """The document."""
        document = super().openapi()
        schemes = document.setdefault("components", {}).setdefault("securitySchemes", {})
        schemes["token"] = {
            "type": "http",
            "scheme": "bearer",
            "description": "The admin token, or a user's access token (`tbu-…`).",
        }
        document["security"] = [{"token": []}]
        return document


def admin_app(admin_token: str, identities: Identities, addresses: ClientAddresses, *parts: APIRouter) -> ASGIApp:
    """The mounted application. OpenAPI is at /admin/openapi.json; pages that load scripts from elsewhere are off.

    Raises ValueError for a route that does not say which permission it needs.
    """
    app = AdminApi(title="Tollbook edge, admin API", docs_url=None, redoc_url=None)
    for routes in parts:
        require_declared(routes)
        app.include_router(routes)
    app.state.routes = [route for routes in parts for route in routes.routes]
    app.add_exception_handler(ApiError, _api_error)
    app.add_exception_handler(StoreUnavailableError, _store_away)
    app.add_exception_handler(PeerUnavailableError, _peer_away)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _fault)
    return AccessGuard(app, admin_token, identities, addresses)


def _response(error: ApiError) -> Response:
    headers = {name.decode(): value.decode() for name, value in [JSON_TYPE, *error.headers()]}
    return Response(error.body(), status_code=error.status, headers=headers)


async def _api_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return _response(error)


async def _store_away(_request: Request, error: Exception) -> Response:
    log.warning("postgres is away", error=str(error))
    return _response(UnavailableError("store_unavailable", "The store cannot answer now. Try again."))


async def _peer_away(_request: Request, error: Exception) -> Response:
    log.warning("peer is away", error=str(error))
    return _response(UnavailableError("peer_unavailable", f"{error}. Try again shortly."))


async def _fault(_request: Request, _error: Exception) -> Response:
    """The reply to a fault of the edge's own; the framework raises it once more, and it is logged outside."""
    return _response(UnavailableError("internal_error", "The edge made a mistake. It was recorded."))


async def _invalid(_request: Request, error: Exception) -> Response:
    """The first mistake that the model found, with its place. JSON that cannot be read is a 400, a misfit a 422."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"][1:]) or None
    message = f"{place or 'The body'}: {first['msg']}."
    if first["type"] == "json_invalid":
        return _response(InvalidRequestError("invalid_json", "The body of the request is not valid JSON."))
    return _response(UnprocessableError("invalid_value", message, param=place))


async def _http_error(request: Request, error: Exception) -> Response:
    """What FastAPI itself refuses: an unknown path, a wrong method, a body that is no form of text."""
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return _response(NotFoundError("unknown_url", f"There is nothing at {request.method} {request.url.path[:200]}."))
    if error.status_code == 405:
        return _response(MethodNotAllowedError(request.method, _methods_at(request)))
    return _response(InvalidRequestError("invalid_request", str(error.detail)))


def _methods_at(request: Request) -> list[str]:
    """Every method that the path takes: the framework names those of one of its routes alone."""
    routes = [route for route in request.app.state.routes if isinstance(route, Route)]
    found = [route.methods or set() for route in routes if route.matches(request.scope)[0] is not Match.NONE]
    return sorted(set().union(*found))
