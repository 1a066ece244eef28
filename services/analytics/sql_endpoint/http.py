"""`/` and `/ping` as a ClickHouse server has them: for Grafana's data source, clickhouse-connect, clickhouse-go, curl."""

import base64
import binascii
import gzip
import secrets
from collections.abc import Mapping
from io import BytesIO
from uuid import uuid4

import structlog
from clickhouse_connect.driver.exceptions import Error
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from services.analytics import metrics
from services.analytics.sql_endpoint.engine import Engine
from services.analytics.sql_endpoint.frames import NoFrameError, for_revision
from services.analytics.sql_endpoint.guard import SqlRefusedError
from services.analytics.warehouse import WarehouseAwayError

MOST_WAITING = 16
MOST_BYTES = 1_000_000
DEFAULT_FORMAT = "TabSeparated"
NATIVE = "Native"
TRANSPORT = frozenset(
    (
        *("query", "user", "password", "database", "default_format", "query_id", "session_id", "session_check"),
        *("session_timeout", "client_protocol_version", "compress", "decompress", "enable_http_compression"),
        *("wait_end_of_query", "quota_key", "role", "buffer_size", "readonly", "max_execution_time", "max_result_rows"),
        *("max_block_size", "http_response_buffer_size", "send_progress_in_http_headers"),
        *("http_headers_progress_interval_ms", "cancel_http_readonly_queries_on_client_close"),
        *("http_write_exception_in_output_format", "date_time_input_format", "date_time_output_format"),
        "output_format_json_quote_64bit_integers",
    )
)
"""What clients send with every query. What would loosen or tighten a limit is not applied: the limits of the endpoint hold."""
STATUS = {516: 401, 60: 404, 81: 404, 202: 503, 159: 408, 497: 403, 164: 403}
CONTENT_TYPES = {
    "JSON": "application/json; charset=UTF-8",
    "JSONCompact": "application/json; charset=UTF-8",
    "JSONEachRow": "application/x-ndjson; charset=UTF-8",
    "CSV": "text/csv; charset=UTF-8; header=absent",
    "CSVWithNames": "text/csv; charset=UTF-8; header=present",
    "TabSeparated": "text/tab-separated-values; charset=UTF-8",
    "Pretty": "text/plain; charset=UTF-8",
}
log = structlog.get_logger("analytics.sql")


class SqlEndpoint:
    """Answers queries with the reader's token."""

    def __init__(self, engine: Engine, token: str, database: str) -> None:
        self._engine = engine
        self._token = token.encode()
        self._database = database
        self._waiting = 0

    async def __call__(self, request: Request) -> Response:
        """One query."""
        query_id = request.query_params.get("query_id") or str(uuid4())
        try:
            self._admit(request)
            reply = await self._answer(request)
        except SqlRefusedError as error:
            reply = _refusal(error)
        except WarehouseAwayError as error:
            reply = _refusal(SqlRefusedError(210, "NETWORK_ERROR", f"the engine is away: {error}"))
        reply.headers["x-clickhouse-query-id"] = query_id if query_id.isprintable() and query_id.isascii() else str(uuid4())
        reply.headers["x-clickhouse-server-display-name"] = "tollbook"
        reply.headers["cache-control"] = "no-store"
        return reply

    def _admit(self, request: Request) -> None:
        given = _password(request)
        if given is None or not secrets.compare_digest(given.encode(), self._token):
            message = "default: Authentication failed: give the token of the SQL endpoint as the password, of any user"
            raise SqlRefusedError(516, "AUTHENTICATION_FAILED", message)
        if self._waiting >= MOST_WAITING:
            raise SqlRefusedError(202, "TOO_MANY_SIMULTANEOUS_QUERIES", f"{MOST_WAITING} queries wait already: ask again soon")

    async def _answer(self, request: Request) -> Response:
        asked = request.query_params
        sql = await _sql_of(request)
        if not sql:
            return Response("Ok.\n", media_type="text/plain")
        parameters = self._checked(asked)
        self._waiting += 1
        try:
            with metrics.QUERY_SECONDS.labels("sql_endpoint").time():
                found = await self._engine.run(sql, parameters, _format_of(request))
        finally:
            self._waiting -= 1
        body = found.body
        if found.format == NATIVE:
            body = _framed(body, asked.get("client_protocol_version", "0"))
        headers = {"x-clickhouse-format": found.format, "x-clickhouse-timezone": "UTC", "x-clickhouse-summary": "{}"}
        if "gzip" in request.headers.get("accept-encoding", "") and asked.get("enable_http_compression") in {"1", "true"}:
            body, headers["content-encoding"] = gzip.compress(body, compresslevel=1), "gzip"
        return Response(body, headers=headers, media_type=CONTENT_TYPES.get(found.format, "application/octet-stream"))

    def _checked(self, asked: Mapping[str, str]) -> dict[str, str]:
        """The query's own parameters. Raises SqlRefusedError for another database, and for settings, which are fixed here."""
        if (database := asked.get("database", self._database)) not in {self._database, "default", ""}:
            raise SqlRefusedError(81, "UNKNOWN_DATABASE", f"Database {database} does not exist; use {self._database}")
        if asked.get("compress") in {"1", "true"}:
            message = "compress=1 is not spoken here: let the client use HTTP compression (gzip) or none"
            raise SqlRefusedError(48, "NOT_IMPLEMENTED", message)
        for name in asked:
            if name not in TRANSPORT and not name.startswith("param_"):
                raise SqlRefusedError(164, "READONLY", f"Cannot modify '{name}' setting in readonly mode")
        return {name.removeprefix("param_"): value for name, value in asked.items() if name.startswith("param_")}


def install(app: FastAPI, endpoint: SqlEndpoint) -> None:
    """Add `/` and `/ping`."""

    async def ping(_: Request) -> Response:
        return Response("Ok.\n", media_type="text/plain")

    app.add_route("/ping", ping, methods=["GET", "HEAD"], include_in_schema=False)
    app.add_route("/", endpoint.__call__, methods=["GET", "POST"], include_in_schema=False)


async def _sql_of(request: Request) -> str:
    """The query: in the address, in the body, or begun in one and ended in the other, as ClickHouse takes it."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MOST_BYTES:
            raise SqlRefusedError(62, "SYNTAX_ERROR", f"The query is longer than {MOST_BYTES} bytes")
    text = bytes(body)
    if request.headers.get("content-encoding", "") == "gzip" and text:
        text = _unzipped(text)
    try:
        parts = [request.query_params.get("query", ""), text.decode()]
    except UnicodeDecodeError as error:
        raise SqlRefusedError(62, "SYNTAX_ERROR", "The query is no UTF-8 text") from error
    return "\n".join(part for part in parts if part.strip())


def _unzipped(data: bytes) -> bytes:
    try:
        with gzip.GzipFile(fileobj=BytesIO(data)) as opened:
            text = opened.read(MOST_BYTES + 1)
    except (OSError, EOFError) as error:
        raise SqlRefusedError(62, "SYNTAX_ERROR", "The body is no gzip data") from error
    if len(text) > MOST_BYTES:
        raise SqlRefusedError(62, "SYNTAX_ERROR", f"The query is longer than {MOST_BYTES} bytes")
    return text


def _framed(body: bytes, revision: str) -> bytes:
    try:
        return for_revision(body, int(revision))
    except ValueError as error:
        raise SqlRefusedError(36, "BAD_ARGUMENTS", "client_protocol_version must be a number") from error
    except (NoFrameError, Error, IndexError, KeyError) as error:
        raise SqlRefusedError(48, "NOT_IMPLEMENTED", str(error)) from error


def _format_of(request: Request) -> str:
    name = request.query_params.get("default_format") or request.headers.get("x-clickhouse-format") or DEFAULT_FORMAT
    if not (name.isascii() and name.isalnum()):
        raise SqlRefusedError(73, "UNKNOWN_FORMAT", "default_format must be the name of a format")
    return name


def _password(request: Request) -> str | None:
    """What the caller gives as the password, in any of the ways that ClickHouse's clients have."""
    if (key := request.headers.get("x-clickhouse-key")) is not None:
        return key
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return None
    return request.query_params.get("password")


def _refusal(error: SqlRefusedError) -> Response:
    status = STATUS.get(error.code, 400)
    headers = {"x-clickhouse-exception-code": str(error.code)}
    if status == 401:
        headers["www-authenticate"] = 'Basic realm="ClickHouse server HTTP API"'
    return Response(f"{error}\n", status, headers, "text/plain; charset=UTF-8")
