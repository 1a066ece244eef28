"""Holds and completions as router would make them."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from schemas.attempts import Attempt, Candidate, Fallback, RequestCompleted, RequestCompletedData
from schemas.calls import HoldCandidate, HoldRequest
from schemas.envelope import new_id, now
from schemas.money import Usage
from schemas.requests import KeyRef

KEY = KeyRef(project_id="project-1", key_id="key-1", key_name="checkout")
USAGE = Usage(input_tokens=374, output_tokens=44)


def candidate(route_type: str = "direct", model: str = "gpt-4o", channel: str = "openai-main") -> HoldCandidate:
    """A place of a plan."""
    return HoldCandidate.model_validate({"channel": channel, "route_type": route_type, "model": model})


def hold_for(account: str, **fields: Any) -> HoldRequest:
    """A hold for gpt-4o on a direct route, unless the fields say otherwise."""
    made: dict[str, Any] = {
        "hold_id": new_id(),
        "request_id": new_id(),
        "account_id": account,
        "key": KEY,
        "candidates": [candidate()],
        "input_tokens_bound": 500,
        "max_output_tokens": 100,
        "model_max_output_tokens": 16384,
        "deadline_at": now() + timedelta(minutes=10),
    }
    return HoldRequest(**{**made, **fields})


def attempt_on(hold: HoldRequest, number: int = 1, **fields: Any) -> Attempt:
    """A successful attempt on the hold's first candidate."""
    first = hold.candidates[0]
    made: dict[str, Any] = {
        "attempt": number,
        "channel": first.channel,
        "route_type": first.route_type,
        "brand": "openai",
        "upstream_model": first.model,
        "hold_id": hold.hold_id,
        "started_at": now(),
        "outcome": "succeeded",
        "http_status": 200,
        "latency_ms": 12.5,
        "usage": USAGE,
        "usage_source": "reported",
    }
    return Attempt(**{**made, **fields})


def completion(
    hold: HoldRequest,
    *,
    attempts: list[Attempt] | None = None,
    charged: int | None = 1,
    hold_ids: list[UUID] | None = None,
    fallbacks: list[Fallback] | None = None,
    event_id: UUID | None = None,
    **fields: Any,
) -> RequestCompleted:
    """The request's end; by default one successful attempt that is charged."""
    made = attempts if attempts is not None else [attempt_on(hold)]
    data: dict[str, Any] = {
        "key": hold.key,
        "client_api": "chat.completions",
        "requested_model": hold.candidates[0].model,
        "stream": False,
        "outcome": "succeeded" if charged is not None else "failed",
        "http_status": 200 if charged is not None else 502,
        "plan": [
            Candidate(channel=each.channel, route_type=each.route_type, brand="openai", upstream_model=each.model)
            for each in hold.candidates
        ],
        "attempts": made,
        "fallbacks": fallbacks or [],
        "hold_ids": [hold.hold_id] if hold_ids is None else hold_ids,
        "charged_attempt": charged,
        "accepted_at": now(),
        "latency_ms": 20.0,
        "overhead_ms": 2.0,
    }
    return RequestCompleted(
        event_id=event_id or new_id(),
        account_id=hold.account_id,
        request_id=hold.request_id,
        tags=hold.tags,
        environment=hold.environment,
        data=RequestCompletedData(**{**data, **fields}),
    )
