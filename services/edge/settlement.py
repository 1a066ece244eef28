"""What edge asks of settlement: balances, receipts, prices, and the ingress for events that Kafka does not take."""

import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import httpx
import orjson

from schemas.calls import IngressBatch
from schemas.envelope import Contract
from services.edge.errors import NotFoundError, PassedOnError, PeerUnavailableError

PRICE_BOOK_TTL_S = 5.0
DOCUMENT_TIMEOUT_S = 60.0
DOCUMENT_HEADERS = ("content-type", "content-disposition")
SIGNING_KEYS_TTL_S = 60.0
PASSED_ON = frozenset({400, 402, 403, 404, 409, 422})
"""Statuses with which settlement answers the customer; any other is between it and edge."""
WEBHOOK_STATUSES = frozenset({200, 400, 413, 422, 503})
"""Statuses with which it answers a payment provider: what is not 200 is sent again."""


class Settlement:
    """Every method raises :class:`PeerUnavailableError` when settlement does not answer as its contract says."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self._prices: tuple[float, list[dict[str, Any]]] | None = None
        self._price_changes = 0
        self._keys: tuple[float, dict[str, Any]] | None = None

    async def balances(self, account_id: str) -> list[dict[str, Any]]:
        """The account's buckets."""
        reply = await self._get(_of_account(account_id, "balances"))
        return list(json_object(reply)["data"])

    async def receipt(self, account_id: str, request_id: str) -> dict[str, Any]:
        """The receipt. Raises :class:`NotFoundError` where the account has none of that id."""
        reply = await self._get(_of_account(account_id, "receipts", request_id), missing_ok=True)
        if reply.status_code == 404:
            raise NotFoundError("receipt_not_found", f"There is no receipt of request {request_id}.", param="request_id")
        return json_object(reply)

    async def signed_receipt(self, account_id: str, request_id: str) -> bytes:
        """The receipt as a signed file, to be passed on byte by byte. Raises :class:`NotFoundError`."""
        path = _of_account(account_id, "receipts", request_id)
        reply = await self._call("GET", path, params={"signed": "true"})
        if reply.status_code == 404:
            raise NotFoundError("receipt_not_found", f"There is no receipt of request {request_id}.", param="request_id")
        return _signed_file(reply)

    async def sign_refused(self, account_id: str, request_id: str, receipt: Mapping[str, Any]) -> bytes:
        """The signed file of a receipt that edge made itself, of a request that settlement never heard of."""
        path = _of_account(account_id, "receipts", request_id, "signed")
        sent = {"content": orjson.dumps(receipt), "headers": {"content-type": "application/json"}}
        return _signed_file(await self._call("POST", path, **sent))

    async def signing_keys(self) -> dict[str, Any]:
        """The public keys that receipts are checked with, remembered for a minute."""
        if self._keys is None or self._keys[0] < time.monotonic():
            found = json_object(await self._get("/internal/signing-keys"))
            self._keys = (time.monotonic() + SIGNING_KEYS_TTL_S, found)
        return self._keys[1]

    async def read(self, account_id: str, *path: str, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        """What settlement says under a path of the account's. Raises :class:`PassedOnError` for what it refuses."""
        return _answer_of(await self._call("GET", _of_account(account_id, *path), params=dict(query or {})))

    async def document(self, account_id: str, *path: str, query: Mapping[str, str]) -> tuple[bytes, dict[str, str]]:
        """A document of the account's, with the headers that say what it is. It may take a while to write."""
        reply = await self._call("GET", _of_account(account_id, *path), params=dict(query), timeout=DOCUMENT_TIMEOUT_S)
        if reply.status_code != 200:
            _answer_of(reply)
        return reply.content, {name: reply.headers[name] for name in DOCUMENT_HEADERS if name in reply.headers}

    async def ask(self, account_id: str, *path: str, body: Contract) -> tuple[int, dict[str, Any]]:
        """Status and answer of a call to a path of the account's. Raises :class:`PassedOnError` for what it refuses."""
        headers = {"content-type": "application/json"}
        reply = await self._call("POST", _of_account(account_id, *path), content=body.to_json(), headers=headers)
        return reply.status_code, _answer_of(reply)

    async def prices(self) -> list[dict[str, Any]]:
        """The price book's items, remembered for a few seconds, and never beyond the instant at which the next book counts."""
        if self._prices is not None and self._prices[0] > time.monotonic():
            return self._prices[1]
        changes = self._price_changes
        book = json_object(await self._get("/internal/price-book"))
        left = [PRICE_BOOK_TTL_S, *(each["starts_in_ms"] / 1000 for each in book.get("next", ()))]
        items = list(book["items"])
        if changes == self._price_changes:
            self._prices = (time.monotonic() + min(left), items)
        return items

    def forget_prices(self) -> None:
        """The price book has changed: what is remembered, or on its way, is old."""
        self._price_changes += 1
        self._prices = None

    async def webhook(self, provider: str, body: bytes, headers: Mapping[str, str]) -> httpx.Response:
        """Settlement's reply to what a payment provider sent, whose bytes pass unchanged: its signature is over them."""
        sent = {"content-type": "application/json", **headers}
        reply = await self._call("POST", f"/webhooks/{provider}", content=body, headers=sent)
        if reply.status_code not in WEBHOOK_STATUSES:
            raise PeerUnavailableError(f"settlement answered {reply.status_code} to a webhook")
        return reply

    async def ingress(self, batch: IngressBatch) -> None:
        """Leave events with settlement, which publishes them once Kafka is back."""
        try:
            reply = await self._client.post(
                "/internal/ingress", content=batch.to_json(), headers={"content-type": "application/json"}
            )
        except httpx.HTTPError as error:
            raise PeerUnavailableError(f"settlement's ingress cannot be reached: {error!r}") from error
        if reply.status_code != 202:
            raise PeerUnavailableError(f"settlement's ingress answered {reply.status_code}")

    async def _get(self, path: str, *, missing_ok: bool = False) -> httpx.Response:
        reply = await self._call("GET", path)
        if reply.status_code != 200 and not (missing_ok and reply.status_code == 404):
            raise PeerUnavailableError(f"settlement answered {reply.status_code} to {path}")
        return reply

    async def _call(self, method: str, path: str, **parts: Any) -> httpx.Response:
        try:
            return await self._client.request(method, path, **parts)
        except httpx.HTTPError as error:
            raise PeerUnavailableError(f"settlement cannot be reached: {error!r}") from error


def _signed_file(reply: httpx.Response) -> bytes:
    if reply.status_code != 200:
        raise PeerUnavailableError(f"settlement answered {reply.status_code} instead of signing a receipt")
    return reply.content


def _of_account(*parts: str) -> str:
    """The path of something of an account's. Dots would lead out of it, and nothing has such a name."""
    if any(part in {".", ".."} for part in parts):
        raise NotFoundError("not_found", "There is nothing under this name.")
    return "/internal/accounts/" + "/".join(quote(part, safe="") for part in parts)


def _answer_of(reply: httpx.Response) -> dict[str, Any]:
    if reply.status_code in (200, 201):
        return json_object(reply)
    if reply.status_code in PASSED_ON:
        error = json_object(reply).get("error")
        if isinstance(error, dict) and error.get("message") and error.get("code"):
            raise PassedOnError(reply.status_code, error)
    raise PeerUnavailableError(f"settlement answered {reply.status_code}")


def json_object(reply: httpx.Response) -> dict[str, Any]:
    """The JSON object in a peer's reply. Raises :class:`PeerUnavailableError` where there is none."""
    try:
        parsed = orjson.loads(reply.content)
    except orjson.JSONDecodeError as error:
        raise PeerUnavailableError("a peer's reply is not JSON") from error
    if not isinstance(parsed, dict):
        raise PeerUnavailableError("a peer's reply is not a JSON object")
    return parsed
