"""Settlement, as router calls it: holds, progress, ingress."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TypeVar

import aiohttp
import httpx
from pydantic import ValidationError

from schemas.calls import (
    ClaimBatch,
    ClaimBatchResult,
    ClaimResult,
    HoldBatch,
    HoldBatchResult,
    HoldClaim,
    HoldProgress,
    HoldRequest,
    HoldResult,
    IngressBatch,
    IngressEvent,
    ProgressBatch,
)
from schemas.envelope import Contract
from services.router.errors import IngressFullError, LedgerRefusedCallError, LedgerUnavailableError
from services.router.transport import BodyTooLongError, PoolLimits, read_bounded, timeouts

CALL_TIMEOUT_S = 5.0
ANSWER_BYTES_MAX = 4 * 1024 * 1024
FIRST_PAUSE_S = 0.02
LONGEST_PAUSE_S = 0.5
T = TypeVar("T")
R = TypeVar("R")


class Ledger:
    """Calls settlement. Every call raises :class:`LedgerUnavailableError` where settlement did not do what was asked."""

    def __init__(self, transport: httpx.AsyncBaseTransport, url: str, token: str, limits: PoolLimits) -> None:
        self._transport = transport
        self._headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        self._extensions = timeouts(limits, CALL_TIMEOUT_S)
        base = url.rstrip("/")
        self._claims = httpx.URL(f"{base}/internal/holds/claims")
        self._holds, self._progress, self._ingress, self._prices = (
            httpx.URL(base + path)
            for path in ("/internal/holds", "/internal/holds/progress", "/internal/ingress", "/internal/price-book")
        )

    async def hold(self, requests: list[HoldRequest]) -> list[HoldResult]:
        """Ask for holds; the answers come in the same order. Asking again under the same ids is safe."""
        body = await self._post(self._holds, HoldBatch.model_construct(holds=requests), 200)
        try:
            results = HoldBatchResult.model_validate_json(body).results
        except ValidationError as exc:
            raise LedgerUnavailableError(f"settlement's answer to a hold cannot be read: {exc.error_count()} errors") from exc
        if [result.hold_id for result in results] != [request.hold_id for request in requests]:
            raise LedgerUnavailableError("settlement answered other holds than it was asked for")
        return results

    async def report_progress(self, holds: list[HoldProgress]) -> bytes:
        """Renew holds. Answers the JSON body that names those that are no longer open."""
        return await self._post(self._progress, ProgressBatch.model_construct(holds=holds), 200)

    async def claim(self, claims: list[HoldClaim]) -> list[ClaimResult]:
        """Claim the requests of holds; the answers come in the same order. Asking again as the same claimant is safe."""
        body = await self._post(self._claims, ClaimBatch.model_construct(claims=claims), 200)
        try:
            results = ClaimBatchResult.model_validate_json(body).results
        except ValidationError as exc:
            raise LedgerUnavailableError(f"settlement's answer to a claim cannot be read: {exc.error_count()} errors") from exc
        if [result.hold_id for result in results] != [claim.hold_id for claim in claims]:
            raise LedgerUnavailableError("settlement answered other claims than it was asked for")
        return results

    async def take_in(self, events: list[IngressEvent]) -> None:
        """Hand over events that Kafka did not take; they are committed when this returns."""
        await self._post(self._ingress, IngressBatch.model_construct(events=events), 202)

    async def price_book(self) -> bytes:
        """The price book in force, as JSON."""
        return await self._ask(httpx.Request("GET", self._prices, headers=self._headers, extensions=self._extensions), 200)

    async def _post(self, url: httpx.URL, value: Contract, expected: int) -> bytes:
        content = value.to_json()
        request = httpx.Request("POST", url, headers=self._headers, content=content, extensions=self._extensions)
        return await self._ask(request, expected)

    async def _ask(self, request: httpx.Request, expected: int) -> bytes:
        url = request.url
        try:
            response = await self._transport.handle_async_request(request)
            body = await read_bounded(response, ANSWER_BYTES_MAX)
        except (httpx.HTTPError, aiohttp.ClientError, OSError, BodyTooLongError) as exc:
            raise LedgerUnavailableError(f"settlement did not answer {url.path}: {type(exc).__name__}") from exc
        if response.status_code != expected:
            raise _refused(url.path, response.status_code, body)
        return body


def _refused(path: str, status: int, body: bytes) -> LedgerUnavailableError:
    message = f"settlement answered {path} with {status}"
    if status == 503 and b'"log_unavailable"' in body:
        return IngressFullError(message)
    return LedgerRefusedCallError(message) if 400 <= status < 500 else LedgerUnavailableError(message)


async def insist(call: Callable[[], Awaitable[T]], *, bound_s: float, draw: Callable[[], float]) -> T:
    """Call until it succeeds or `bound_s` seconds are over. Raises the last :class:`LedgerUnavailableError`."""
    give_up_at = monotonic() + bound_s
    pause_s = FIRST_PAUSE_S
    while True:
        try:
            return await call()
        except (LedgerRefusedCallError, IngressFullError):
            raise
        except LedgerUnavailableError:
            pause = pause_s * (0.5 + draw())
            if monotonic() + pause >= give_up_at:
                raise
        await asyncio.sleep(pause)
        pause_s = min(pause_s * 2, LONGEST_PAUSE_S)


async def apart(send: Callable[[list[T]], Awaitable[list[R]]], items: list[T]) -> list[R | LedgerUnavailableError]:
    """Send a batch; where settlement refuses the whole call, each item alone, so that one bad item fails nobody else."""
    try:
        return list(await send(items))
    except LedgerRefusedCallError as exc:
        if len(items) == 1:
            return [exc]
    answers: list[R | LedgerUnavailableError] = []
    for item in items:
        try:
            answers += await send([item])
        except LedgerRefusedCallError as exc:
            answers.append(exc)
    return answers
