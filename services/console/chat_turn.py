"""One question and its answer over `/v1/chat/completions`, with what the answer cost and why."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from services.console.errors import ConsoleError
from services.console.server_events import events_of
from services.console.service_client import ServiceClient

PATH = "/v1/chat/completions"
RECEIPT_PATIENCE_S = 5.0
RECEIPT_POLL_S = 0.1
Message = dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Turn:
    """An answer and the facts about it."""

    text: str
    facts: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Asking:
    """What every question of a conversation shares."""

    model: str
    run: str | None = None
    max_tokens: int | None = None

    def body(self, messages: Sequence[Message]) -> dict[str, Any]:
        """The request's body."""
        bound = {} if self.max_tokens is None else {"max_tokens": self.max_tokens}
        stream = {"stream": True, "stream_options": {"include_usage": True}}
        return {"model": self.model, "messages": list(messages), **stream, **bound}


def ask(edge: ServiceClient, asking: Asking, messages: Sequence[Message], tell: Callable[[str], None]) -> Turn:
    """Ask, telling every piece of the answer as it comes. Raises ConsoleError with the gateway's own words."""
    headers = {} if asking.run is None else {"x-tollbook-run": asking.run}
    pieces, usage = list[str](), dict[str, Any]()
    with edge.opened("POST", PATH, json=asking.body(messages), headers=headers) as reply:
        for _, data in events_of(reply.iter_lines()):
            if data == "[DONE]":
                break
            chunk = json.loads(data)
            if "error" in chunk:
                raise ConsoleError(f"the answer broke off: {chunk['error'].get('message')}")
            usage = chunk.get("usage") or usage
            for choice in chunk.get("choices", []):
                piece = choice.get("delta", {}).get("content")
                if piece:
                    pieces.append(piece)
                    tell(piece)
        told = reply.headers
    return Turn(text="".join(pieces), facts=_facts(asking, told, usage, receipt_of(edge, told["x-request-id"])))


def receipt_of(edge: ServiceClient, request_id: str) -> Mapping[str, Any] | None:
    """The settled receipt, waited for a while; None where it is not there by then."""
    until = time.monotonic() + RECEIPT_PATIENCE_S
    while True:
        found: dict[str, Any] = edge.get(f"/v1/requests/{request_id}")
        if found["status"] != "pending":
            return found
        if time.monotonic() > until:
            return None
        time.sleep(RECEIPT_POLL_S)


def _facts(asking: Asking, told: httpx.Headers, usage: Mapping[str, Any], receipt: Mapping[str, Any] | None) -> dict[str, Any]:
    """By the receipt where there is one: a stream's headers went out before its last attempt was known."""
    settled = receipt or {}
    charge = settled.get("charge") or {}
    attempts: list[Mapping[str, Any]] = settled.get("attempts") or []
    paid = next((each for each in attempts if each.get("charged")), attempts[-1] if attempts else {})
    return {
        "request_id": told["x-request-id"],
        "model": asking.model,
        "answered_model": settled.get("answered_model") or told.get("x-tollbook-upstream-model"),
        "channel": paid.get("channel") or told.get("x-tollbook-channel"),
        "route_type": paid.get("route_type") or told.get("x-tollbook-route-type"),
        "bucket": charge.get("bucket") or usage.get("bucket"),
        "cost": charge.get("amount") or usage.get("cost"),
        "currency": charge.get("currency") or usage.get("currency"),
        "attempts": len(attempts) or int(told.get("x-tollbook-attempts", 1)),
        "fallbacks": [each["reason"] for each in settled.get("fallbacks") or []],
        "run_id": asking.run,
        "input_tokens": usage.get("prompt_tokens"),
        "output_tokens": usage.get("completion_tokens"),
        "settled": receipt is not None,
    }


def said(facts: Mapping[str, Any]) -> str:
    """The facts on one line."""
    model = facts["model"]
    if facts["answered_model"] not in (None, model):
        model += f" answered by {facts['answered_model']}"
    tries = f"{facts['attempts']} attempt{'' if facts['attempts'] == 1 else 's'}"
    if facts["fallbacks"]:
        tries += f", moved on by {', '.join(facts['fallbacks'])}"
    paid = "nothing charged" if facts["cost"] is None else f"{facts['bucket']} paid {facts['cost']} {facts['currency']}"
    tokens = f"{facts['input_tokens']} tokens in, {facts['output_tokens']} out"
    route = f"{facts['route_type']}/{facts['channel']}"
    return " · ".join((model, route, tries, tokens, paid, f"request {facts['request_id']}"))
