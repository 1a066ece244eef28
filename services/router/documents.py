"""Shapes of the parts of events, as plain objects: the same fields as the models of `schemas.attempts`. Pure.

Events are written from these and not through the models, because that is a quarter of the CPU time; a test decodes every
event with the models.
"""

from __future__ import annotations

from datetime import datetime
from typing import TypedDict
from uuid import UUID

from schemas.attempts import AfterDisconnect, ErrorClass, FallbackReason, Outcome, RouteType, UsageSource
from schemas.money import Usage


class CandidateDocument(TypedDict):
    """`schemas.attempts.Candidate`."""

    channel: str
    route_type: RouteType
    brand: str
    upstream_model: str


class UsageDocument(TypedDict):
    """`schemas.money.Usage`."""

    input_tokens: int
    cached_input_tokens: int
    cache_write_tokens: int
    output_tokens: int
    reasoning_tokens: int


class AttemptDocument(TypedDict):
    """`schemas.attempts.Attempt`."""

    attempt: int
    channel: str
    route_type: RouteType
    brand: str
    upstream_model: str
    hold_id: UUID
    started_at: datetime
    outcome: Outcome
    error_class: ErrorClass | None
    http_status: int | None
    latency_ms: float
    ttft_ms: float | None
    usage: UsageDocument
    usage_source: UsageSource
    operator_cost_nano: int | None
    operator_cost_currency: str | None
    upstream_id: str | None
    exposure: UsageDocument | None
    operator_exposure_nano: int | None
    after_disconnect: AfterDisconnect | None


class FallbackDocument(TypedDict):
    """`schemas.attempts.Fallback`."""

    from_channel: str
    to_channel: str
    from_attempt: int | None
    to_attempt: int | None
    reason: FallbackReason
    crossed_bucket: bool


NO_USAGE: UsageDocument = {
    "input_tokens": 0,
    "cached_input_tokens": 0,
    "cache_write_tokens": 0,
    "output_tokens": 0,
    "reasoning_tokens": 0,
}


def usage_fields(usage: Usage | None) -> UsageDocument:
    """The token classes, all zero for None."""
    if usage is None:
        return NO_USAGE
    return {
        "input_tokens": usage.input_tokens,
        "cached_input_tokens": usage.cached_input_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "output_tokens": usage.output_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
    }


def tokens_of(usage: UsageDocument) -> int:
    """Every token, each counted once: reasoning is a part of output."""
    return usage["input_tokens"] + usage["cached_input_tokens"] + usage["cache_write_tokens"] + usage["output_tokens"]
