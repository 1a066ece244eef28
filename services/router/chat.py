"""`POST /internal/v1/chat/completions` and its like: from edge's call to the reply. Plain ASGI: every request passes here."""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from time import monotonic
from typing import Any, NamedTuple

import structlog
from pydantic import ValidationError

from schemas.calls import CONTEXT_HEADER, CallContext
from services.router import metrics
from services.router.answers import Answer, Headers, failure_answer, refusal_answer, route_headers
from services.router.call import Call
from services.router.clients.client_api import ClientApi
from services.router.errors import (
    IngressFullError,
    LedgerUnavailableError,
    LogUnavailableError,
    RefusalError,
    SettledTwiceError,
    UpstreamError,
)
from services.router.funding import Funding
from services.router.plain import PlainDelivery, fail
from services.router.planner import Planner
from services.router.presence import Receive, Send
from services.router.settling import Settler
from services.router.streaming import StreamDelivery
from services.router.tokens import bears

_CONTEXT = CONTEXT_HEADER.encode()
log = structlog.get_logger(__name__)


class ChatLimits(NamedTuple):
    """Bounds of the endpoint."""

    body_bytes: int
    in_flight: int
    deadline_s: float


class ChatEndpoint:
    """The endpoint, an ASGI application for its one path."""

    def __init__(
        self,
        *,
        edge_token: bytes,
        planner: Planner,
        funding: Funding,
        plain: PlainDelivery,
        stream: StreamDelivery,
        settler: Settler,
        limits: ChatLimits,
        apis: Iterable[ClientApi],
    ) -> None:
        self._apis = {api.path: api for api in apis}
        self._edge_token = edge_token
        self._planner = planner
        self._funding = funding
        self._plain = plain
        self._stream = stream
        self._settler = settler
        self._limits = limits
        self.ready = False
        self.in_flight = 0
        metrics.IN_FLIGHT.set_function(lambda: self.in_flight)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve one request."""
        begun = monotonic()
        self.in_flight += 1
        try:
            answer = await self._answer(self._apis[scope["path"]], scope["headers"], receive, send, begun)
        finally:
            self.in_flight -= 1
        if answer is not None:
            await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
            await send({"type": "http.response.body", "body": answer.body})

    @property
    def paths(self) -> frozenset[str]:
        """Where it answers."""
        return frozenset(self._apis)

    async def _answer(
        self, api: ClientApi, headers: Iterable[tuple[bytes, bytes]], receive: Receive, send: Send, begun: float
    ) -> Answer | None:
        context: CallContext | None = None
        try:
            context = self._admit(headers)
            call = self._plan(api, context, await read_body(receive, self._limits.body_bytes), begun)
            await self._fund(call)
        except RefusalError as refusal:
            metrics.REFUSALS.labels(code=refusal.code).inc()
            return refusal_answer(refusal, None if context is None else str(context.request_id))
        try:
            return await self._serve(call, receive, send)
        finally:
            self._funding.release(call)

    def _admit(self, headers: Iterable[tuple[bytes, bytes]]) -> CallContext:
        authorization = raw_context = b""
        for name, value in headers:
            if name == b"authorization":
                authorization = value
            elif name == _CONTEXT:
                raw_context = value
        if not bears(authorization, self._edge_token):
            raise RefusalError(401, "unauthorized", "This endpoint wants edge's token.")
        if not self.ready or self.in_flight > self._limits.in_flight:
            code = "overloaded" if self.ready else "not_ready"
            raise RefusalError(503, code, "The router cannot take more requests now. Try again shortly.", retry_after_s=1)
        try:
            context = CallContext.model_validate_json(raw_context)
        except ValidationError:
            raise RefusalError(400, "invalid_context", f"The header {CONTEXT_HEADER} is missing or not valid.") from None
        if rb"\u0000" in raw_context and has_nul(context):
            raise RefusalError(400, "invalid_value", "Tags and ids must not contain NUL characters.")
        return context

    def _plan(self, api: ClientApi, context: CallContext, body: bytes, begun: float) -> Call:
        return self._planner.plan(context, api.parse(body), api, begun=begun, deadline_s=self._limits.deadline_s)

    async def _fund(self, call: Call) -> None:
        try:
            await self._funding.secure(call, self._limits.deadline_s)
        except IngressFullError as exc:
            message = "The event log is behind; nothing was charged. Try again shortly."
            raise RefusalError(503, "log_unavailable", message, retry_after_s=5) from exc
        except LedgerUnavailableError as exc:
            log.warning("ledger_unavailable", request_id=str(call.context.request_id), reason=str(exc))
            message = "The ledger cannot be reached; nothing was charged. Try again shortly."
            raise RefusalError(503, "ledger_unavailable", message, retry_after_s=2) from exc

    async def _serve(self, call: Call, receive: Receive, send: Send) -> Answer | None:
        try:
            if call.ask.stream:
                return await self._stream.answer(call, receive, send)
            return await self._plain.answer(call, receive)
        except LogUnavailableError as exc:
            log.warning("log_unavailable", request_id=str(call.context.request_id), reason=str(exc))
            return failure_answer(UpstreamError("log_unavailable", "next"), self._headers(call))
        except Exception:
            log.exception("request_failed", request_id=str(call.context.request_id))
            try:
                return await fail(call, self._settler, UpstreamError("internal", "next"))
            except (LogUnavailableError, SettledTwiceError):
                return failure_answer(UpstreamError("internal", "next"), self._headers(call))

    @staticmethod
    def _headers(call: Call) -> Headers:
        return route_headers(call, None, call.overhead_ms(monotonic()))


def has_nul(context: CallContext) -> bool:
    """Whether a text of the context has a character that the ledger cannot store."""
    key = context.key
    texts = [context.account_id, context.environment, context.run_id, context.client_request_id, context.traceparent]
    texts += [key.project_id, key.key_id, key.key_name, *context.tags.keys(), *context.tags.values()]
    return any(text is not None and "\0" in text for text in texts)


async def read_body(receive: Receive, limit: int) -> bytes:
    """The whole body. Raises :class:`RefusalError` (413) beyond `limit` bytes, (499) where the client left before its end."""
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        first: bytes = message.get("body", b"")
        if len(first) <= limit:
            return first
    parts: list[bytes] = []
    size = 0
    while True:
        if message["type"] == "http.disconnect":
            raise RefusalError(499, "client_gone", "The client left before the end of its body.")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit:
            raise RefusalError(413, "body_too_large", f"The body is larger than {limit} bytes.")
        if not message.get("more_body"):
            return b"".join(parts)
        message = await receive()
