"""How admin routes are hung in: each with its one permission, its models and its errors, as OpenAPI shows them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import psycopg
import structlog
from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.exceptions import HTTPException

from schemas.access import ANY_TOKEN, PERMISSION_FIELD, Permission
from schemas.plans import PlanAsk
from services.router.admin_models import ErrorBody
from services.router.admin_replies import AdminReplies
from services.router.allowed_methods import allowed_methods
from services.router.answers import error_document
from services.router.errors import (
    AdminError,
    EntityMissingError,
    RefusalError,
    SecretUnreadableError,
    TableMovedError,
    TableRejectedError,
)
from services.router.guard import Guard
from services.router.table import TABLE_BYTES_MAX, ChannelRow, ModelRow, RouteTable

log = structlog.get_logger(__name__)
Json = dict[str, Any]
MEANS = {
    400: "the body is not what it should be",
    401: "no token that is worth anything",
    403: "the caller's roles do not have the permission",
    404: "there is no such thing",
    409: "another table came into force meanwhile",
    422: "a value does not fit; the message names it",
    503: "Postgres, or edge for an access token, does not answer now",
}


class AdminRoutes:
    """Hangs routes into an application, behind the guard."""

    def __init__(self, app: FastAPI, guard: Guard) -> None:
        self._app = app
        self._guard = guard

    def add(
        self,
        method: str,
        path: str,
        handler: Callable[..., Any],
        *,
        permission: Permission | None,
        model: type[BaseModel],
        errors: tuple[int, ...] = (),
        extra: Json | None = None,
    ) -> None:
        """One route. Without a permission whoever has a token may call it. `errors` are those beside 401, 403 and 503."""
        check = self._guard.anybody if permission is None else self._guard.needs(permission)
        common = {401, 503} | ({403} if permission is not None else set()) | (set() if method == "GET" else {400})
        statuses = sorted(common | set(errors))
        self._app.add_api_route(
            path,
            handler,
            methods=[method],
            dependencies=[Depends(check)],
            response_model=model,
            response_model_exclude_unset=True,
            responses={status: {"model": ErrorBody, "description": MEANS[status]} for status in statuses},
            openapi_extra={PERMISSION_FIELD: permission or ANY_TOKEN, **(extra or {})},
        )


def told_as(app: FastAPI) -> None:
    """Every error in the one shape."""
    for kind in (AdminError, EntityMissingError, TableRejectedError, TableMovedError, RefusalError, SecretUnreadableError):
        app.add_exception_handler(kind, _ours)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(psycopg.Error, _database_error)
    app.add_middleware(AdminReplies, _internal_error)


def body_of(model: str, *types: str) -> Json:
    """A request's body as OpenAPI shows it, where a handler reads it itself: so that a mistake is told as a table's."""
    schema = {"$ref": f"#/components/schemas/{model}"}
    return {"requestBody": {"required": True, "content": {type_: {"schema": schema} for type_ in types}}}


def described(app: FastAPI) -> Json:
    """The OpenAPI document, with the models that handlers read themselves."""
    document = get_openapi(title=app.title, version=app.version, routes=app.routes)
    modes: list[tuple[type[BaseModel], Literal["validation"]]] = [
        (model, "validation") for model in (RouteTable, ChannelRow, ModelRow, PlanAsk)
    ]
    _, definitions = models_json_schema(modes, ref_template="#/components/schemas/{model}")
    document["components"]["schemas"] |= definitions["$defs"]
    return document


async def bounded_body(request: Request) -> bytes:
    """The whole body. Raises :class:`TableRejectedError` for one that is longer than a table may be."""
    parts = bytearray()
    async for part in request.stream():
        parts += part
        if len(parts) > TABLE_BYTES_MAX:
            raise TableRejectedError(f"a route table has at most {TABLE_BYTES_MAX} bytes")
    return bytes(parts)


def error(status: int, code: str, message: str, param: str | None = None) -> JSONResponse:
    """An error's reply."""
    return JSONResponse(error_document(status, code, message, param), status)


async def _ours(_: Request, exc: Exception) -> Response:
    if isinstance(exc, RefusalError):
        return JSONResponse(error_document(exc.status, exc.code, exc.message, exc.param, exc.facts), exc.status)
    if isinstance(exc, AdminError):
        return error(exc.status, exc.code, exc.message, exc.param)
    if isinstance(exc, EntityMissingError):
        return error(404, "not_found", str(exc))
    if isinstance(exc, TableMovedError):
        return error(409, "route_table_moved", str(exc))
    if isinstance(exc, TableRejectedError):
        return error(422, "invalid_route_table", str(exc))
    return error(503, "secrets_unreadable", str(exc))


async def _invalid(_: Request, exc: Exception) -> Response:
    assert isinstance(exc, RequestValidationError)
    first = exc.errors()[0]
    place = ".".join(str(part) for part in first["loc"][1:])
    if first["type"] == "json_invalid":
        return error(400, "invalid_json", "The body of the request is not valid JSON.")
    return error(422, "invalid_value", f"{place or 'The body'}: {first['msg']}.", place or None)


async def _http_error(request: Request, exc: Exception) -> Response:
    status = getattr(exc, "status_code", 500)
    codes = {401: "unauthorized", 404: "not_found", 405: "method_not_allowed"}
    reply = error(status, codes.get(status, "invalid_request"), str(getattr(exc, "detail", "")))
    if status == 405:
        reply.headers["allow"] = ", ".join(allowed_methods(request))
    return reply


async def _database_error(_: Request, exc: Exception) -> Response:
    if isinstance(exc, psycopg.DataError):
        return error(422, "invalid_value", "A text holds a character that cannot be stored.")
    log.error("database_unavailable", reason=type(exc).__name__)
    return error(503, "database_unavailable", "The database did not answer. Try again shortly.")


async def _internal_error(_: Request, exc: Exception) -> Response:
    log.error("request_failed", reason=type(exc).__name__)
    return error(503, "internal_error", "Something went wrong here; the log tells what. Try again shortly.")
