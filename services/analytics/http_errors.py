"""Errors of the HTTP calls in the shape that every service answers in: `{"error": {"message", "type", "param", "code"}}`."""

from collections.abc import Mapping
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import Response

from schemas.access import IDENTITY_UNAVAILABLE, ROLE_NOT_ALLOWED
from services.analytics.allowed_methods import allowed_methods
from services.analytics.errors import (
    AlertStateError,
    IdentityUnavailableError,
    NoSuchRulesError,
    QueryRefusedError,
    RoleNotAllowedError,
    RulesMovedError,
    RulesRefusedError,
    TooManyOfYoursError,
    TransientError,
    UnknownAccountError,
    UnknownAlertError,
)

TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    409: "conflict_error",
    422: "invalid_request_error",
    429: "rate_limit_error",
}
CODES = {400: "invalid_request", 401: "invalid_token", 404: "not_found", 405: "method_not_allowed"}


WHO_MAY = "This call needs the admin token or an access token that is in force: `Authorization: Bearer <token>`."
EDGE_MAY = "This call needs `Authorization: Bearer <token of edge>`."


class UnauthorizedError(Exception):
    """The call lacks the token of the service that may make it."""


class ErrorFields(BaseModel):
    """What went wrong. `code` is for programs, `message` says what to do."""

    message: str
    type: str
    param: str | None
    code: str


class ErrorReply(BaseModel):
    """The one shape of every error."""

    error: ErrorFields


def error_response(
    status: int, message: str, *, param: str | None = None, code: str | None = None, facts: Mapping[str, Any] | None = None
) -> Response:
    """An error as JSON; `facts` stand beside its words."""
    body: dict[str, Any] = {
        "message": message,
        "type": TYPES.get(status, "server_error"),
        "param": param,
        "code": code or CODES.get(status, "internal"),
        **(facts or {}),
    }
    headers = {"www-authenticate": "Bearer"} if status == 401 else {"retry-after": "2"} if status == 503 else {}
    return Response(orjson.dumps({"error": body}), status, headers, "application/json")


async def fault(_: Request, __: Exception) -> Response:
    """The answer to an error that nobody foresaw."""
    return error_response(500, "This is a fault of Tollbook; its log says more.")


def install(app: FastAPI) -> None:
    """Answer every error of the application in our shape."""

    @app.exception_handler(UnauthorizedError)
    async def unauthorized(_: Request, __: UnauthorizedError) -> Response:
        return error_response(401, EDGE_MAY)

    @app.exception_handler(RoleNotAllowedError)
    async def role(_: Request, error: RoleNotAllowedError) -> Response:
        return error_response(403, str(error), code=ROLE_NOT_ALLOWED)

    @app.exception_handler(UnknownAccountError)
    async def unknown(_: Request, error: UnknownAccountError) -> Response:
        return error_response(404, str(error), param="account_id", code="account_not_found")

    @app.exception_handler(UnknownAlertError)
    async def unknown_alert(_: Request, error: UnknownAlertError) -> Response:
        return error_response(404, str(error), code=error.code)

    @app.exception_handler(AlertStateError)
    async def state(_: Request, error: AlertStateError) -> Response:
        return error_response(409, str(error), code=error.code)

    @app.exception_handler(IdentityUnavailableError)
    async def nobody(_: Request, error: IdentityUnavailableError) -> Response:
        return error_response(503, str(error), code=IDENTITY_UNAVAILABLE)

    @app.exception_handler(TooManyOfYoursError)
    async def enough(_: Request, error: TooManyOfYoursError) -> Response:
        return error_response(429, str(error), code="too_many_watchers")

    @app.exception_handler(QueryRefusedError)
    async def refused(_: Request, error: QueryRefusedError) -> Response:
        return error_response(400, str(error), param=error.param)

    @app.exception_handler(TransientError)
    async def away(_: Request, error: TransientError) -> Response:
        return error_response(503, str(error), code="unavailable")

    _install_rules(app)
    _install_frameworks(app)


def _install_rules(app: FastAPI) -> None:
    """What is wrong with alert rules."""

    @app.exception_handler(RulesRefusedError)
    async def unreadable(_: Request, error: RulesRefusedError) -> Response:
        return error_response(
            422, str(error), param=error.param, code="invalid_alert_rules", facts={"problems": error.problems}
        )

    @app.exception_handler(RulesMovedError)
    async def moved(_: Request, error: RulesMovedError) -> Response:
        return error_response(409, str(error), param="expected_version", code="alert_rules_moved")

    @app.exception_handler(NoSuchRulesError)
    async def no_version(_: Request, error: NoSuchRulesError) -> Response:
        return error_response(404, str(error), param="version", code="alert_rules_not_found")


def _install_frameworks(app: FastAPI) -> None:
    """What the framework itself refuses, and faults."""

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        return error_response(400, str(first["msg"]), param=".".join(str(part) for part in first["loc"][1:]))

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        reply = error_response(error.status_code, str(error.detail))
        if error.status_code == 405:
            reply.headers["allow"] = ", ".join(allowed_methods(request))
        return reply
