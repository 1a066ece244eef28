"""`POST /v1/chat/completions` and its like: the hot path from the client's bytes to the router and back."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx
import structlog
from starlette.types import Receive, Scope, Send

from schemas.envelope import new_id, now
from services.edge import events, metrics
from services.edge.admission import admit_call, named_model, parse_object
from services.edge.authentication import Authenticator
from services.edge.bodies import BodyReader
from services.edge.caller import Caller
from services.edge.claims import ALREADY_DONE, Binding, Claim, Claims, not_settled
from services.edge.context import Call, render_context
from services.edge.errors import (
    NO_RETRY,
    ApiError,
    ClientGoneError,
    ConflictError,
    NotFoundError,
    OutcomeUnknownError,
    PeerUnavailableError,
    PeerUnreachableError,
    StoreUnavailableError,
    UnavailableError,
)
from services.edge.labels import RUN_HEADER, joining, read_labels, refuse_repeated
from services.edge.memberships import Memberships
from services.edge.model_apis import MESSAGES, ModelApi
from services.edge.pace import PACE_PREFIXES, estimate
from services.edge.pacer import Paced, Pacer
from services.edge.passing import DisconnectWatch, Passing, ReplyHead, error_of, pass_on, read_bounded
from services.edge.publisher import Publisher
from services.edge.replies import JSON_TYPE, send_reply
from services.edge.router import TRANSPORT_ERRORS, Router
from services.edge.stored_replies import REPLAYED, ReplyCopy, StoredReply
from services.edge.token_tap import TokenTap

log = structlog.get_logger(__name__)

FORBIDDEN = 403
GONE = 499
"""What metrics call a call whose client went away; nobody is told it."""
UNSETTLED_CODES = frozenset(("log_unavailable",))
"""Errors after an upstream call that may still be charged: the idempotency key stays bound."""


@dataclass(frozen=True, slots=True)
class _Exchange:
    """A call that was let in, the client at its one end, and what it holds until its end."""

    call: Call
    send: Send
    binding: Binding
    watch: DisconnectWatch


class Completions:
    """One endpoint as an ASGI application: admits, records, forwards, streams back."""

    def __init__(
        self,
        authenticator: Authenticator,
        bodies: BodyReader,
        router: Router,
        publisher: Publisher,
        claims: Claims,
        *,
        api: ModelApi,
        memberships: Memberships,
        pacer: Pacer,
        receipt_of: Callable[[str, str], Awaitable[dict[str, Any]]],
        max_in_flight: int,
        longest_request_s: float,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._api = api
        self._authenticator = authenticator
        self._bodies = bodies
        self._router = router
        self._publisher = publisher
        self._claims = claims
        self._memberships = memberships
        self._pacer = pacer
        self._receipt_of = receipt_of
        self._max_in_flight = max_in_flight
        self._longest_request_s = longest_request_s
        self._clock = clock
        self._in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started_s = self._clock()
        self._in_flight += 1
        metrics.IN_FLIGHT.inc()
        try:
            status = await self._serve(scope, receive, send)
        finally:
            self._in_flight -= 1
            metrics.IN_FLIGHT.dec()
        metrics.LATENCY_S.observe(self._clock() - started_s)
        metrics.REQUESTS.labels(self._api.name, status).inc()

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> int:
        call = Call(request_id=new_id(), accepted_at=now(), client_api=self._api.name)
        try:
            caller, body = await self._admit(call, scope, receive)
            return await self._forward(call, caller, body, receive, send)
        except ApiError as error:
            return await self._refuse(call, error, send)
        except StoreUnavailableError as error:
            log.warning("postgres is away", error=str(error))
            return await self._refuse(call, UnavailableError("store_unavailable", "Keys cannot be checked now."), send)
        except ClientGoneError:
            metrics.CLIENT_GONE.inc()
            return GONE
        finally:
            if call.paced is not None:
                await self._pacer.settle(call.paced, call.tokens)

    async def _admit(self, call: Call, scope: Scope, receive: Receive) -> tuple[Caller, bytes]:
        """Everything that edge checks before the router hears of the call."""
        raw: Sequence[tuple[bytes, bytes]] = scope["headers"]
        headers = dict(raw)
        caller = call.caller = await self._authenticator.caller(headers)
        caller.require_standing()
        self._authenticator.require_place(caller, scope)
        if caller.minute_limits:
            call.paced = Paced()
            await self._pacer.request(call.paced, caller.minute_limits)
        if len(headers) != len(raw):
            refuse_repeated(raw)
        call.labels = read_labels(headers)
        if self._publisher.full or self._in_flight > self._max_in_flight:
            raise self._overloaded()
        body = await self._bodies.read(headers, receive)
        call.body_bytes = len(body)
        payload = parse_object(body)
        call.model = named_model(payload)
        call.labels = joining(call.labels, payload)
        if call.labels.run_id is not None:
            caller = call.caller = await self._memberships.join(caller, call.labels.run_id)
        admitted = admit_call(payload, caller, self._api.content)
        call.stream = admitted.stream
        if call.paced is not None:
            await self._pacer.tokens(call.paced, caller.minute_limits, estimate(payload, body, self._api.output_caps))
        return caller, body

    async def _forward(self, call: Call, caller: Caller, body: bytes, receive: Receive, send: Send) -> int:
        claim, stored = await self._bind(call, caller, body)
        if stored is not None:
            first = [pair for pair in stored.headers if not pair[0].startswith(PACE_PREFIXES)]
            await send_reply(send, stored.status, stored.body, [*first, REPLAYED, *pace_headers(call)])
            return stored.status
        binding = self._claims.binding(claim)
        self._publisher.publish(events.accepted(call, caller))
        watch = DisconnectWatch(receive, partial(self._patience_s, call, caller, binding))
        exchange = _Exchange(call, send, binding, watch)
        call.tokens = None
        try:
            status = await self._converse(exchange, render_context(call, caller), body)
        except asyncio.CancelledError:
            if not watch.ended:
                raise
            watch.forgive()
        finally:
            watch.stop()
            # Whatever was not settled on the way may have been charged: the key stays bound.
            await binding.settle(accepted=True)
        if not watch.gone:
            return status
        metrics.CLIENT_GONE.inc()
        return GONE

    async def _patience_s(self, call: Call, caller: Caller, binding: Binding) -> float:
        """How long the call goes on when its client leaves: where its reply is kept for whoever asks again, to its end.

        Only over channels that read such a call to its end in any case: one that cancels it must hear that the client left.
        """
        if call.stream or not (caller.policy.store_replies and binding.open):
            return 0.0
        try:
            return self._longest_request_s if await self._router.drains(call.model) else 0.0
        except PeerUnavailableError:
            return 0.0

    async def _bind(self, call: Call, caller: Caller, body: bytes) -> tuple[Claim | None, StoredReply | None]:
        """The call's claim, or the reply that the same call got before. A reply is no request: it is not recorded as one."""
        if call.labels.idempotency_key is None:
            return None, None
        labels = call.labels
        claim = Claim(caller.key.key_id, call.labels.idempotency_key, call.request_id, self._api.name, labels.run_id)
        try:
            return claim, await self._claims.bind(claim, body, replays=caller.policy.store_replies)
        except ConflictError as error:
            if error.code == ALREADY_DONE and error.receipt is not None and not await self._settled(caller, error.receipt):
                raise not_settled(error.receipt) from error
            raise

    async def _settled(self, caller: Caller, receipt: str) -> bool:
        """Whether it is known how the request of the receipt ended. Left by a router that died, it waits for its hold's end."""
        try:
            found = await self._receipt_of(caller.account_id, receipt.rpartition("/")[2])
        except (NotFoundError, PeerUnavailableError):
            return False
        return found.get("status") != "pending"

    async def _converse(self, exchange: _Exchange, context: bytes, body: bytes) -> int:
        try:
            response = await self._router.complete(self._api.router_path, context, body)
            try:
                return await self._answer(exchange, response)
            finally:
                await response.aclose()
        except PeerUnavailableError as error:
            return await self._router_away(exchange, error)
        except TRANSPORT_ERRORS as error:
            # The head of a plain reply has gone out: leaving it unfinished makes the server cut the connection.
            log.warning(
                "router broke off in the middle of a reply", request_id=str(exchange.call.request_id), error=repr(error)
            )
            return GONE

    async def _answer(self, exchange: _Exchange, response: httpx.Response) -> int:
        head = ReplyHead.of(response.status_code, response.headers.raw)
        if head.status >= 400 or head.rejected_code is not None:
            await self._pass_error(exchange, response, head)
        else:
            caller = exchange.call.caller
            keeps = caller is not None and caller.policy.store_replies and not head.streaming
            copy = ReplyCopy(wanted=keeps and exchange.binding.open)
            identity = _identity(exchange.call)
            tap = TokenTap() if head.streaming and exchange.call.tells_tokens else None
            passing = Passing(exchange.binding, copy, self._api.broke_off, tap)
            exchange.call.tokens = head.tokens()
            await pass_on(response, head, identity, exchange.send, passing)
            if tap is not None:
                exchange.call.tokens = tap.tokens
        # At once: to the server a reply that is whole is a client that is gone.
        exchange.watch.stop()
        return head.status

    async def _pass_error(self, exchange: _Exchange, response: httpx.Response, head: ReplyHead) -> None:
        """Errors are small and come whole; one before any upstream call is recorded as a refusal."""
        body = await read_bounded(response)
        error = error_of(body)
        exchange.call.tokens = 0
        if head.rejected_code is not None:
            self._record(exchange.call, max(head.status, 400), head.rejected_code, error.message)
        # What was charged, or may have been, must not be charged again under the same key.
        paid = head.rejected_code is None and (error.charged or error.code in UNSETTLED_CODES)
        bound = paid and exchange.binding.open
        await exchange.binding.settle(accepted=paid)
        headers = [pair for pair in head.headers if pair[0] != b"content-length"]
        if (head.status == FORBIDDEN or (bound and error.charged)) and NO_RETRY not in headers:
            headers.append(NO_RETRY)
        shaped = self._api.error(head.status, body, str(exchange.call.request_id))
        await send_reply(exchange.send, head.status, shaped, [*headers, *_identity(exchange.call)])

    async def _router_away(self, exchange: _Exchange, error: PeerUnavailableError) -> int:
        """503. Only where the call was never sent is it known to be refused."""
        call, bound = exchange.call, exchange.binding.open
        log.warning("router is away", request_id=str(call.request_id), error=str(error))
        refused = isinstance(error, PeerUnreachableError)
        call.tokens = 0 if refused else None
        await exchange.binding.settle(accepted=not refused)
        if refused:
            said = "No route can be reached now; nothing was sent and nothing is charged. Try again."
            return await self._refuse(call, UnavailableError("router_unavailable", said), exchange.send)
        unknown = OutcomeUnknownError(f"/v1/requests/{call.request_id}", bound=bound)
        await self._send_error(call, unknown, exchange.send)
        return unknown.status

    async def _refuse(self, call: Call, error: ApiError, send: Send) -> int:
        self._record(call, error.status, error.code, error.message)
        if call.paced is not None and call.caller is not None:
            await self._pacer.look(call.paced, call.caller.minute_limits)
        await self._send_error(call, error, send)
        return error.status

    async def _send_error(self, call: Call, error: ApiError, send: Send) -> None:
        body = self._api.error(error.status, error.body(), str(call.request_id))
        await send_reply(send, error.status, body, [JSON_TYPE, *error.headers(), *_identity(call)])

    def _record(self, call: Call, status: int, code: str, message: str) -> None:
        """Count a refusal, and write it down where the key is known."""
        metrics.REJECTED.labels(code).inc()
        if call.caller is not None:
            self._publisher.publish(events.rejected(call, call.caller, status=status, code=code, message=message))

    def _overloaded(self) -> UnavailableError:
        if self._publisher.full:
            return UnavailableError("log_unavailable", "Requests cannot be recorded now, so none are let in.", retry_after_s=5)
        return UnavailableError("overloaded", "Too many requests are under way.")


def _identity(call: Call) -> list[tuple[bytes, bytes]]:
    request_id = str(call.request_id).encode()
    headers = [(b"x-request-id", request_id), *pace_headers(call)]
    if call.client_api == MESSAGES.name:
        headers.append((b"request-id", request_id))  # where Anthropic's clients look for it
    if call.labels.run_id is not None:
        headers.append((RUN_HEADER, call.labels.run_id.encode()))
    return headers


def pace_headers(call: Call) -> list[tuple[bytes, bytes]]:
    """What is left of the caller's minute, where it has limits; for Anthropic's clients under Anthropic's names too."""
    if call.paced is None:
        return []
    standings = call.paced.standings
    return standings.headers() + (standings.anthropic_headers(now()) if call.client_api == MESSAGES.name else [])
