"""What goes back to edge: error bodies in OpenAI's shape, and the headers that tell how an answer came about. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Any, NamedTuple

import orjson

from schemas.attempts import ErrorClass
from schemas.calls import REJECTED_HEADER
from schemas.money import format_amount
from services.router.call import Call, Charge, Running
from services.router.errors import RefusalError, UpstreamError

Headers = list[tuple[bytes, bytes]]
LONG_WAIT_S = 60
DECIDED = frozenset({402, 409})
"""Statuses that only a decision lifts, such as a top-up or an extended run, unless there is a time to wait for: then it was
other requests' holds alone that were in the way. SDKs retry 409 by themselves, and never 402 without being told to."""
RETRY = (b"x-should-retry", b"true")
NO_RETRY = (b"x-should-retry", b"false")
JSON = (b"content-type", b"application/json")
EVENTS = (b"content-type", b"text/event-stream; charset=utf-8")
WAITED_FOR: frozenset[ErrorClass] = frozenset(("rate_limited", "upstream_unavailable"))
"""Failures of channels that another try may meet differently, and soon."""
_TYPES = {401: "authentication_error", 402: "insufficient_quota", 403: "permission_error", 429: "rate_limit_error"}
_STATUS: dict[ErrorClass, int] = {
    "rate_limited": 429,
    "timeout": 504,
    "deadline_exceeded": 504,
    "upstream_unavailable": 503,
    "ledger_unavailable": 503,
    "log_unavailable": 503,
    "client_gone": 499,
    "not_translatable": 400,
}
_MESSAGES: dict[ErrorClass, str] = {
    "rate_limited": "Every channel for this model is at a rate limit, its provider's or its own here.",
    "timeout": "The provider did not answer in time.",
    "deadline_exceeded": "The request's deadline passed before a provider answered.",
    "upstream_unavailable": "No channel for this model is available now.",
    "connection_failed": "The connection to the provider failed.",
    "malformed_reply": "The provider's reply could not be read.",
    "stream_cut": "The provider ended the stream before it was complete.",
    "unauthorized": "The provider refused the gateway's own credentials.",
    "invalid_request": "The provider refused the request.",
    "content_filtered": "The provider's content filter refused the request.",
    "ledger_unavailable": "The ledger cannot be reached; nothing was charged. Try again shortly.",
    "log_unavailable": "The record of this request could not be written. Try again shortly.",
    "client_gone": "The client closed the connection.",
    "not_translatable": "No provider of this model has a word for a part of the request; nothing was sent.",
}


class Answer(NamedTuple):
    """A whole reply."""

    status: int
    headers: Headers
    body: bytes


def error_document(
    status: int, code: str, message: str, param: str | None = None, facts: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """OpenAI's error object, `facts` beside its four members."""
    kind = _TYPES.get(status) or ("server_error" if status >= 500 else "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code, **(facts or {})}}


def refusal_answer(refusal: RefusalError, request_id: str | None = None) -> Answer:
    """A refusal before any upstream call: edge writes RequestRejected for it."""
    headers: Headers = [JSON, (REJECTED_HEADER.encode(), refusal.code.encode())]
    if request_id is not None:
        headers.append((b"x-request-id", request_id.encode()))
    if refusal.retry_after_s is not None:
        headers += _wait_headers(refusal.status, refusal.retry_after_s)
    if refusal.status in DECIDED:
        headers.append(NO_RETRY if refusal.retry_after_s is None else RETRY)
    document = error_document(refusal.status, refusal.code, refusal.message, refusal.param, refusal.facts)
    return _json(refusal.status, headers, document)


def failure_status(failure: UpstreamError) -> int:
    """The status that the client sees for a request whose attempts all failed."""
    if (failure.verdict == "pass" or failure.body) and failure.status is not None and 400 <= failure.status < 500:
        return failure.status
    return _STATUS.get(failure.error_class, 502)


def failure_answer(
    failure: UpstreamError, headers: Headers, *, model: str | None = None, charge: Charge | None = None
) -> Answer:
    """The reply for a request whose attempts all failed: the provider's own error where the request itself was at fault.

    `charge` is what they cost nevertheless, by policy: the error says it, since there is no usage to say it in.
    """
    status = failure_status(failure)
    headers = [JSON, *headers]
    wait_s = ceil(failure.retry_after_s or 1)
    if status in (429, 503):
        headers += _wait_headers(status, wait_s)
    if failure.body and charge is None:
        return Answer(status, [*headers, (b"content-length", b"%d" % len(failure.body))], failure.body)
    document = failure_document(failure.error_class, status) if not failure.body else orjson.loads(failure.body)
    error = document["error"]
    if failure.error_class in WAITED_FOR and not failure.body:
        error["message"] = _waiting(error["message"], model, wait_s, charged=charge is not None)
    if charge is not None:
        cost = cost_fields(charge)
        error["message"] += f" {cost['cost']} {cost['currency']} was charged for failed attempts that used tokens, by policy."
        error |= {"cost": cost["cost"], "currency": cost["currency"]}
    return _json(status, headers, document)


def _waiting(message: str, model: str | None, wait_s: int, *, charged: bool) -> str:
    """What is said where another try may be answered: of which model, whether it cost something, and when to try."""
    named = message if model is None else message.replace("this model", f"the model `{model}`")
    free = "" if charged else "; nothing was charged"
    return f"{named.removesuffix('.')}{free}. Try again in {wait_s} second{'' if wait_s == 1 else 's'}."


def failure_document(error_class: ErrorClass, status: int = 502) -> dict[str, Any]:
    """The error object for a class of failure."""
    message = _MESSAGES.get(error_class, "The provider failed to answer.")
    return error_document(status, error_class, message)


def route_headers(call: Call, running: Running | None, overhead_ms: float) -> Headers:
    """How the answer came about. Without an attempt only what is known of the request."""
    headers: Headers = [
        (b"x-request-id", str(call.context.request_id).encode()),
        (b"x-tollbook-attempts", b"%d" % (len(call.attempts) + (running is not None and len(call.attempts) < running.number))),
        (b"x-tollbook-fallbacks", b"%d" % len(call.fallbacks)),
        (b"x-tollbook-overhead-ms", b"%.1f" % overhead_ms),
    ]
    if running is not None:
        channel = running.place.channel
        headers += [
            (b"x-tollbook-route", f"{channel.route_type}/{channel.id}".encode()),
            (b"x-tollbook-route-type", channel.route_type.encode()),
            (b"x-tollbook-channel", channel.id.encode()),
            (b"x-tollbook-upstream-model", running.place.upstream_model.encode()),
            (b"x-tollbook-bucket", running.cover.grant.bucket.encode("latin-1", "replace")),
        ]
    return headers


def cost_fields(charge: Charge) -> dict[str, str]:
    """What `usage` says about money: a decimal string, its currency, and the balance that pays."""
    return {"cost": format_amount(charge.cost_nano), "currency": charge.currency, "bucket": charge.bucket}


def _wait_headers(status: int, retry_after_s: int) -> Headers:
    headers: Headers = [(b"retry-after", b"%d" % retry_after_s)]
    if status == 429 and retry_after_s > LONG_WAIT_S:
        # SDKs retry 429 by themselves: they should not where a clock will not lift it soon.
        headers.append(NO_RETRY)
    return headers


def _json(status: int, headers: Headers, document: dict[str, Any]) -> Answer:
    body = orjson.dumps(document)
    return Answer(status, [*headers, (b"content-length", b"%d" % len(body))], body)
