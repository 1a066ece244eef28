"""The client's reading endpoints: models, receipts, balances."""

from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from schemas.money import format_amount
from services.edge import metrics
from services.edge.authentication import Authenticator
from services.edge.caller import Caller
from services.edge.catalog import listed, visible_models
from services.edge.errors import (
    ApiError,
    ClientGoneError,
    NotFoundError,
    PeerUnavailableError,
    StoreUnavailableError,
    UnavailableError,
)
from services.edge.receipt_search import find_receipt
from services.edge.receipt_text import render_receipt
from services.edge.rejections import Rejections
from services.edge.replies import JSON_TYPE, TEXT_TYPE, Reply, json_reply, send_error
from services.edge.router import Router
from services.edge.settlement import Settlement

log = structlog.get_logger(__name__)

Answer = Callable[[Request, Caller], Awaitable[Reply]]
MAX_ID = 64


class Lookups:
    """Answers for the key that asks, and never about another account."""

    def __init__(self, router: Router, settlement: Settlement, rejections: Rejections) -> None:
        self._router = router
        self._settlement = settlement
        self._rejections = rejections

    async def models(self, _request: Request, caller: Caller) -> Reply:
        """`GET /v1/models`."""
        return json_reply(listed(await self._visible(caller)))

    async def model(self, request: Request, caller: Caller) -> Reply:
        """`GET /v1/models/{id}`; ids may hold slashes."""
        wanted = request.path_params["model_id"]
        found = [model for model in await self._visible(caller) if model["id"] == wanted]
        if not found:
            message = f"The model {wanted[:MAX_ID]!r} does not exist or this key may not use it."
            raise NotFoundError("model_not_found", message, param="model")
        return json_reply(found[0])

    async def receipt(self, request: Request, caller: Caller) -> Reply:
        """`GET /v1/requests/{id}`: JSON, text for people (`?format=text`), or a file that proves itself (`?signed=true`)."""
        request_id = request.path_params["request_id"]
        if len(request_id) > MAX_ID:
            raise NotFoundError("receipt_not_found", "There is no receipt under this id.")
        if request.query_params.get("signed") == "true":
            return Reply(200, await self._signed(caller.account_id, request_id), [JSON_TYPE])
        receipt = await self._receipt(caller.account_id, request_id)
        if wants_text(request):
            return Reply(200, render_receipt(receipt).encode(), [TEXT_TYPE])
        return json_reply(receipt)

    async def _receipt(self, account_id: str, request_id: str) -> dict[str, Any]:
        return await find_receipt(self._settlement, self._rejections, account_id, request_id)

    async def _signed(self, account_id: str, request_id: str) -> bytes:
        try:
            return await self._settlement.signed_receipt(account_id, request_id)
        except NotFoundError:
            refused = await self._rejections.find(account_id, request_id)
            if refused is None:
                raise
            return await self._settlement.sign_refused(account_id, request_id, refused)

    async def signing_keys(self, _request: Request) -> Reply:
        """`GET /v1/signing-keys`: the public keys that receipts and checkpoints are checked with. For everybody."""
        return json_reply(await self._settlement.signing_keys())

    async def balances(self, _request: Request, caller: Caller) -> Reply:
        """`GET /v1/balances`: every bucket in nano and as decimal text."""
        return json_reply(
            {"object": "list", "data": [_balance(row) for row in await self._settlement.balances(caller.account_id)]}
        )

    async def topups(self, request: Request, caller: Caller) -> Reply:
        """`GET /v1/topups?after=&limit=`: the account's payments, newest first."""
        page = await self._settlement.read(caller.account_id, "topups", query=_known(request, "after", "limit"))
        return json_reply({"object": "list", **page})

    async def statement(self, request: Request, caller: Caller) -> Reply:
        """`GET /v1/statements/{YYYY-MM}?format=json|csv|pdf&bucket=`: the account's month, from balance to balance."""
        month = request.path_params["month"]
        query = _known(request, "format", "bucket")
        body, headers = await self._settlement.document(caller.account_id, "statements", month, query=query)
        return Reply(200, body, [(name.encode(), value.encode("latin-1")) for name, value in headers.items()])

    async def _visible(self, caller: Caller) -> list[dict[str, Any]]:
        return visible_models(await self._router.models(), await self._settlement.prices(), caller.policy)


def _known(request: Request, *names: str) -> dict[str, str]:
    """Those of the query's parameters that have a meaning here."""
    return {name: request.query_params[name] for name in names if name in request.query_params}


def wants_text(request: Request) -> bool:
    """Whether the client asked for text that people read."""
    return request.query_params.get("format") == "text" or request.headers.get("accept", "").startswith("text/plain")


class LookupEndpoint:
    """An answer as an ASGI endpoint that authenticates first and speaks OpenAI's error shape."""

    def __init__(self, name: str, authenticator: Authenticator, answer: Answer, *, frozen_may: bool = False) -> None:
        self._name = name
        self._authenticator = authenticator
        self._answer = answer
        self._frozen_may = frozen_may

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            reply = await self._reply(Request(scope, receive))
        except ApiError as error:
            await self._refuse(error, send)
        except (StoreUnavailableError, PeerUnavailableError) as error:
            log.warning("cannot answer a lookup", api=self._name, error=str(error))
            await self._refuse(UnavailableError("unavailable", "This cannot be answered now. Try again."), send)
        except ClientGoneError:
            metrics.CLIENT_GONE.inc()
        else:
            metrics.REQUESTS.labels(self._name, reply.status).inc()
            await reply(scope, receive, send)

    async def _reply(self, request: Request) -> Reply:
        caller = await self._authenticator.caller(dict(request.scope["headers"]))
        if self._frozen_may:
            caller.require_unrevoked()
        else:
            caller.require_standing()
        self._authenticator.require_place(caller, request.scope)
        return await self._answer(request, caller)

    async def _refuse(self, error: ApiError, send: Send) -> None:
        metrics.REQUESTS.labels(self._name, error.status).inc()
        await send_error(send, error)


class PublicEndpoint(LookupEndpoint):
    """An answer that is the same for everybody, with or without a key."""

    def __init__(self, name: str, answer: Callable[[Request], Awaitable[Reply]]) -> None:
        self._name = name
        self._for_all = answer

    async def _reply(self, request: Request) -> Reply:
        return await self._for_all(request)


def _balance(row: dict[str, Any]) -> dict[str, Any]:
    """`earmarked` lies in the reserves of runs and is in none of the other amounts; `promotional` is the part that expires.

    `owed` is a debt: what was charged beyond the bucket, and stops new requests until it is paid.
    """
    amounts = {name: row.get(f"{name}_nano", 0) for name in ("posted", "held", "available", "earmarked", "promotional")}
    amounts["owed"] = row.get("overrun_nano", 0)
    texts = {name: format_amount(nano) for name, nano in amounts.items()}
    nanos = {f"{name}_nano": nano for name, nano in amounts.items()}
    named = {"bucket": row["bucket"], "currency": row["currency"], "funding": row.get("funding", "prepaid")}
    promotions = [{**each, "amount": format_amount(each["amount_nano"])} for each in row.get("promotions", [])]
    return {"object": "balance", **named, **texts, **nanos, "promotions": promotions}
