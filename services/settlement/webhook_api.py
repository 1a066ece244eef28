"""Where payment providers tell of payments: signed by them, so that no token of ours is needed."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import psycopg
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from psycopg.rows import TupleRow
from stripe import SignatureVerificationError, WebhookSignature

from services.settlement import stripe_store
from services.settlement.book_store import BookStore
from services.settlement.correction_store import CaseTerms
from services.settlement.errors import BadInputError, UnavailableError
from services.settlement.http_edges import refuse_nul
from services.settlement.stripe_store import RefusalOf

Connect = Callable[[], AbstractContextManager[psycopg.Connection[TupleRow]]]
TOLERANCE_S = 300
"""How old a signature may be: longer than a delivery takes, short enough that a stolen one is of no use."""


def webhook_router(
    connect: Connect, books: BookStore, terms: CaseTerms, stripe_secret: str, refusal_of: RefusalOf | None = None
) -> APIRouter:
    """`POST /webhooks/stripe`. Without a secret it takes nothing and says what to do."""
    router = APIRouter(prefix="/webhooks")

    def post(body: bytes) -> str:
        books.refresh()
        with connect() as connection:
            return stripe_store.take_event(connection, body, books.in_force, terms, refusal_of)

    @router.post("/stripe")
    async def post_stripe(request: Request) -> Response:
        body = await request.body()
        verify(body, request.headers.get("stripe-signature"), stripe_secret)
        refuse_nul(body)
        answer: dict[str, Any] = {"received": True, "outcome": await asyncio.to_thread(post, body)}
        return JSONResponse(answer)

    return router


def verify(body: bytes, signature: str | None, secret: str) -> None:
    """Raise UnavailableError without a secret, BadInputError unless Stripe has just signed these very bytes."""
    if not secret:
        raise UnavailableError(
            "set TOLLBOOK_STRIPE_WEBHOOK_SECRET to the endpoint's signing secret (whsec_…) and start settlement again",
            code="webhook_not_configured",
        )
    if not signature or not signature.isascii():
        raise BadInputError("the header stripe-signature is missing or not readable", code="invalid_signature")
    try:
        WebhookSignature.verify_header(body, signature, secret, TOLERANCE_S)
    except (SignatureVerificationError, UnicodeDecodeError) as error:
        raise BadInputError(
            "the signature does not fit the body, or is too old: check the signing secret and the clock",
            code="invalid_signature",
        ) from error
