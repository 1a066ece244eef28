"""One call on its way through the edge, and how it is told to the router."""

import json
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import orjson

from schemas.calls import CONTEXT_HEADER
from services.edge.caller import Caller
from services.edge.labels import Labels
from services.edge.pacer import Paced

CONTEXT_HEADER_NAME = CONTEXT_HEADER.encode()


@dataclass(slots=True, kw_only=True)
class Call:
    """What is known of a call so far: filled in as admission goes on, so that a refusal can say what it knows."""

    request_id: UUID
    accepted_at: datetime
    client_api: str
    caller: Caller | None = None
    labels: Labels = field(default_factory=Labels)
    model: str = ""
    stream: bool = False
    body_bytes: int = 0
    paced: Paced | None = None
    """What it was counted at; None for a caller without limits per minute."""
    tokens: int | None = 0
    """How many it took so far as it is known: none before router has it, unknown (None) from then on to its end."""

    @property
    def tells_tokens(self) -> bool:
        """Whether somebody wants to know how many tokens it takes."""
        return self.paced is not None and self.paced.standings.tokens is not None


def render_context(call: Call, caller: Caller) -> bytes:
    """The call's `CallContext` as JSON for a header: ASCII only, whatever the tags and names are written in."""
    labels = call.labels
    context = {
        "request_id": call.request_id,
        "account_id": caller.account_id,
        "key": caller.key_json,
        "environment": caller.environment,
        "policy": caller.policy_json,
        "tags": labels.tags,
        "run_id": labels.run_id,
        "client_request_id": labels.client_request_id,
        "traceparent": labels.traceparent,
        "accepted_at": call.accepted_at,
    }
    if caller.route_limits_json is not None:
        context["route_limits"] = caller.route_limits_json
    if call.tells_tokens:
        context["tell_tokens"] = True
    rendered = orjson.dumps(context)
    return rendered if rendered.isascii() else json.dumps(json.loads(rendered), separators=(",", ":")).encode("ascii")
