"""Router and settlement as the contracts describe them: a server on a port of its own that answers by the model asked for.

It keeps what it was sent, so that a test can see what arrived, and whether a connection was closed on it.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from deploy.local.ports import free_port
from schemas.calls import CONTEXT_HEADER, TOKENS_COMMENT, TOKENS_HEADER, CallContext, IngressBatch, IngressEvent
from tests.integration.edge.runs_peer import ScriptedRuns

PRICES = {"input": 2_500_000_000, "cached_input": 1_250_000_000, "cache_write": 2_500_000_000, "output": 10_000_000_000}
CHUNKS = [b'data: {"choices":[{"delta":{"content":"%d"}}]}\n\n' % number for number in range(3)]
DONE = b"data: [DONE]\n\n"
TOKENS = 30
"""What each answer took."""
COMPLETION = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}}],
}
SCRIPTED_ERRORS = {
    "unknown": (404, "model_not_found", "model_not_found"),
    "broke": (402, "insufficient_balance", "insufficient_balance"),
    "frozen": (403, "project_frozen", "project_frozen"),
    "fails": (502, "upstream_error", None),
    "charged": (502, "upstream_error", None),
    "unlogged": (503, "log_unavailable", None),
}
"""What router answers to a model, and the mark of a refusal before any upstream call."""
START_TIMEOUT_S = 60.0

SIGNED_FILE = b'{"object":"signed_receipt", "any": 1.50,"signature":{}}\n'
"""Bytes that nobody who reads and writes JSON would leave as they are."""


@dataclass(frozen=True)
class Received:
    """One call that arrived at router."""

    context: CallContext
    body: bytes
    headers: dict[str, str]
    path: str = ""


@dataclass
class Peers:
    """What the two services have seen, and how they behave."""

    url: str
    calls: list[Received] = field(default_factory=list)
    ingress: list[IngressEvent] = field(default_factory=list)
    ingress_open: bool = True
    closed: threading.Event = field(default_factory=threading.Event)
    """Set when a connection was closed while router was still answering."""
    release: threading.Event = field(default_factory=threading.Event)
    """Lets answers to the models "held" and "held-stream", and to the user "held", go on."""
    receipts: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    webhooks: list[tuple[bytes, str | None]] = field(default_factory=list)
    """Bodies and signatures of what a payment provider sent."""
    runs: ScriptedRuns = field(default_factory=ScriptedRuns)

    def routes(self) -> list[Route]:
        """The endpoints of both contracts."""
        return [
            Route("/internal/v1/{api:path}", self.chat, methods=["POST"]),
            Route("/internal/models", self.models),
            Route("/internal/price-book", self.price_book),
            Route("/internal/signing-keys", self.signing_keys),
            Route("/internal/accounts/{account_id}/balances", self.balances),
            Route("/internal/accounts/{account_id}/receipts/{request_id}", self.receipt),
            Route("/internal/accounts/{account_id}/topups", self.topups),
            Route("/internal/accounts/{account_id}/statements/{month}", self.statement),
            Route("/webhooks/stripe", self.webhook, methods=["POST"]),
            Route("/internal/ingress", self.take, methods=["POST"]),
            *self.runs.routes(),
        ]

    async def chat(self, request: Request) -> Response:
        """Answer as the model's name says."""
        body = await request.body()
        context = CallContext.model_validate_json(request.headers[CONTEXT_HEADER])
        self.calls.append(Received(context, body, dict(request.headers), request.url.path))
        payload = orjson.loads(body)
        if payload["model"] in SCRIPTED_ERRORS:
            cost = {"cost": "0.0025", "currency": "USD"} if payload["model"] == "charged" else {}
            status, error_code, rejected = SCRIPTED_ERRORS[payload["model"]]
            return _error(status, error_code, rejected, **cost)
        if payload["model"] == "lost":
            request.receive.__self__.transport.abort()  # type: ignore[attr-defined]  # the server's own end of the connection
        if payload["model"] == "cut":
            return StreamingResponse(self._cut(), media_type="text/event-stream")
        if "held" in (payload["model"], payload.get("user")):
            await self._until_released(request)
        if payload.get("stream"):
            held = payload["model"] == "held-stream"
            told = b"%s%d\n" % (TOKENS_COMMENT.encode(), TOKENS) if context.tell_tokens else b""
            return StreamingResponse(self._stream(request, told, held=held), media_type="text/event-stream")
        headers = {"x-tollbook-channel": "openai-main", "server": "router", TOKENS_HEADER: str(TOKENS)}
        return JSONResponse(COMPLETION, headers=headers)

    async def _stream(self, request: Request, told: bytes, *, held: bool) -> AsyncIterator[bytes]:
        yield CHUNKS[0]
        if held:
            await self._until_released(request)
        for chunk in CHUNKS[1:]:
            yield chunk
        yield told + DONE

    async def _cut(self) -> AsyncIterator[bytes]:
        yield CHUNKS[0]
        raise ConnectionAbortedError("scripted")

    async def _until_released(self, request: Request) -> None:
        try:
            while not self.release.is_set():
                if await request.is_disconnected():
                    self.closed.set()
                    return
                await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            self.closed.set()
            raise

    async def models(self, _request: Request) -> Response:
        """A catalog of two models: calls to the first are read to their end, those to the second end with their client."""
        route = {"channel": "openai-main", "route_type": "direct", "brand": "openai", "upstream_model": "gpt-4o"}
        model = {
            "owned_by": "openai",
            "created": 1,
            "max_input_tokens": 9,
            "max_output_tokens": 9,
            "mode": "chat",
            "routes": [route],
        }
        return JSONResponse({"data": [{"id": "gpt-4o", "drains": True, **model}, {"id": "org/tiny", "drains": False, **model}]})

    async def price_book(self, _request: Request) -> Response:
        """One price."""
        item = {"route_type": "direct", "model": "gpt-4o", "currency": "USD", "prices": PRICES}
        return JSONResponse({"version": 1, "items": [item]})

    async def balances(self, _request: Request) -> Response:
        """One bucket."""
        amounts = {"posted_nano": 25_000_000_000, "held_nano": 500_000_000, "available_nano": 24_500_000_000}
        bucket = {"bucket": "credit", "currency": "USD", "funding": "prepaid", "earmarked_nano": 5_000_000_000}
        expires = {"promotion_id": "019a1f3c", "amount_nano": 1_500_000_000, "expires_at": "2026-06-30T00:00:00Z"}
        return JSONResponse(
            {
                "data": [
                    bucket | amounts | {"promotional_nano": 1_500_000_000, "promotions": [expires], "overrun_nano": 250_000_000}
                ]
            }
        )

    async def signing_keys(self, _request: Request) -> Response:
        """One public key."""
        return JSONResponse({"object": "list", "data": [{"key_id": "0a0b0c0d", "status": "current"}]})

    async def receipt(self, request: Request) -> Response:
        """A receipt of the account that owns it, 404 for every other."""
        found = self.receipts.get((request.path_params["account_id"], request.path_params["request_id"]))
        if found and request.query_params.get("signed") == "true":
            return Response(SIGNED_FILE, media_type="application/json")
        return JSONResponse(found) if found else _error(404, "receipt_not_found")

    async def topups(self, request: Request) -> Response:
        """What was asked for, as a page."""
        return JSONResponse({"data": [dict(request.query_params) | request.path_params], "next_after": None})

    async def statement(self, request: Request) -> Response:
        """A document for March, a refusal for any other month."""
        if request.path_params["month"] != "2026-03":
            return _error(422, "invalid_month")
        asked = "&".join(f"{name}={value}" for name, value in request.query_params.items())
        headers = {"content-type": "text/csv; charset=utf-8", "content-disposition": 'attachment; filename="s.csv"'}
        return Response(f"{request.path_params['account_id']};{asked}".encode(), headers=headers)

    async def webhook(self, request: Request) -> Response:
        """Settlement's webhook: keeps what came, refuses what is not signed."""
        self.webhooks.append((await request.body(), request.headers.get("stripe-signature")))
        if request.headers.get("stripe-signature") != "t=1,v1=good":
            return _error(400, "invalid_signature")
        return JSONResponse({"received": True, "outcome": "posted"})

    async def take(self, request: Request) -> Response:
        """Settlement's ingress."""
        if not self.ingress_open:
            return _error(503, "store_unavailable")
        self.ingress += IngressBatch.model_validate_json(await request.body()).events
        return Response(status_code=202)


def _error(status: int, code: str, rejected: str | None = None, **more: str) -> Response:
    error = {"message": f"scripted {code}", "type": "invalid_request_error", "param": None, "code": code, **more}
    return JSONResponse({"error": error}, status_code=status, headers={"x-tollbook-rejected": rejected} if rejected else {})


@contextmanager
def running_peers(port: int | None = None) -> Iterator[Peers]:
    """Run both services in a thread."""
    port = port or free_port()
    peers = Peers(f"http://127.0.0.1:{port}")
    app = Starlette(routes=peers.routes())
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_config=None, timeout_keep_alive=75, timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        _wait_until_started(server, thread)
        yield peers
    finally:
        peers.release.set()
        server.should_exit = True
        thread.join(START_TIMEOUT_S)


def _wait_until_started(server: uvicorn.Server, thread: threading.Thread) -> None:
    deadline = threading.Event()
    timer = threading.Timer(START_TIMEOUT_S, deadline.set)
    timer.start()
    while not server.started:
        if deadline.is_set() or not thread.is_alive():
            raise RuntimeError("the peers' server did not start")
        deadline.wait(0.01)
    timer.cancel()
