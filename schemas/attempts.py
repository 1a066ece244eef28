"""Events of `tollbook.attempts.v1`, written by router. RequestCompleted is the one event that settles."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from schemas.envelope import Contract, Event, Identifier, UtcDatetime
from schemas.money import AmountNano, Usage
from schemas.requests import KeyRef

RouteType = Literal["direct", "pooled", "subscription"]
Outcome = Literal["succeeded", "failed", "cancelled"]
UsageSource = Literal["reported", "estimated", "none"]
AfterDisconnect = Literal["drained", "cancelled"]
"""What became of an upstream call whose client had left: read to its end for its real usage, or ended there."""
ErrorClass = Literal[
    "rate_limited",
    "upstream_error",
    "upstream_unavailable",
    "connection_failed",
    "timeout",
    "stream_cut",
    "malformed_reply",
    "invalid_request",
    "unauthorized",
    "content_filtered",
    "client_gone",
    "deadline_exceeded",
    "ledger_unavailable",
    "log_unavailable",
    "not_translatable",
    "internal",
]
FallbackReason = (
    ErrorClass
    | Literal["circuit_open", "cooldown", "insufficient_funds", "channel_frozen"]
    | Literal["request_limit", "token_limit", "concurrency_limit"]
)
"""Why a plan moved on: a failed attempt, a channel that rests or that an operator froze, a bucket without money, or a limit of
the channel's own.

`not_translatable`: the provider's API has no word for a part of the request, so that nothing was sent and no attempt was made.
"""
Millis = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Candidate(Contract):
    """One place of a plan: a channel and the model that it would be asked for."""

    channel: Identifier
    route_type: RouteType
    brand: Identifier
    upstream_model: Identifier


class Attempt(Contract):
    """One upstream call and how it ended. A failed attempt that burned tokens shows them in `usage`.

    `operator_cost_nano` is what the attempt cost the operator, in `operator_cost_currency`; None where the channel declares
    no cost. `upstream_id` is the provider's own id of its reply (of the body, else of its `x-request-id` header): what a
    provider's usage export names; None where nothing came back.

    `exposure` is the most that the provider may bill for an attempt whose own count never came (a timeout, a stream that was
    cut, a call that was cancelled); None where it reported its usage, or certainly did no work. `operator_exposure_nano` is
    what that would cost the operator, in `operator_cost_currency`. It is charged to nobody.
    """

    attempt: Annotated[int, Field(ge=1)]
    channel: Identifier
    route_type: RouteType
    brand: Identifier
    upstream_model: Identifier
    hold_id: UUID
    started_at: UtcDatetime
    outcome: Outcome
    error_class: ErrorClass | None = None
    http_status: int | None = None
    latency_ms: Millis
    ttft_ms: Millis | None = None
    usage: Usage
    usage_source: UsageSource
    operator_cost_nano: AmountNano | None = None
    operator_cost_currency: Identifier | None = None
    upstream_id: Identifier | None = None
    exposure: Usage | None = None
    operator_exposure_nano: AmountNano | None = None
    after_disconnect: AfterDisconnect | None = None


class Fallback(Contract):
    """Why the plan moved on. Attempt numbers are those of `Attempt.attempt`; `to_attempt` is None for a skipped candidate."""

    from_channel: Identifier
    to_channel: Identifier
    from_attempt: int | None = None
    to_attempt: int | None = None
    reason: FallbackReason
    crossed_bucket: bool = False


class AttemptStartedData(Contract):
    """The upstream call that is about to be made under a hold."""

    key: KeyRef
    attempt: Annotated[int, Field(ge=1)]
    requested_model: Identifier
    channel: Identifier
    route_type: RouteType
    brand: Identifier
    upstream_model: Identifier
    hold_id: UUID


class AttemptFinishedData(Contract):
    """How an upstream call ended."""

    key: KeyRef
    requested_model: Identifier
    attempt: Attempt


class FallbackTakenData(Contract):
    """The plan moved from one channel to the next."""

    key: KeyRef
    requested_model: Identifier
    fallback: Fallback


class RequestCompletedData(Contract):
    """Everything that settlement and the receipt need about a request that was held.

    `charged_attempt` is the number of the attempt that the customer pays for, None when nothing is charged. `also_charged` are
    failed attempts under the same hold that a policy charges beside it, each rounded by itself. All of `hold_ids`
    end with this event: the hold of the charged attempt is captured, the others are released.
    `cost_nano` is the charge as router quoted it to the client, in `currency`; settlement prices by itself. `table_version` is
    the route table that the plan was made by; None in events of before it was recorded.
    """

    key: KeyRef
    client_api: Identifier
    requested_model: Identifier
    stream: bool
    outcome: Outcome
    http_status: int
    error_class: ErrorClass | None = None
    plan: list[Candidate]
    attempts: list[Attempt]
    fallbacks: list[Fallback]
    hold_ids: list[UUID]
    charged_attempt: int | None
    also_charged: list[int] = Field(default_factory=list)
    bucket: Identifier | None = None
    currency: Identifier | None = None
    cost_nano: AmountNano | None = None
    accepted_at: UtcDatetime
    latency_ms: Millis
    ttft_ms: Millis | None = None
    overhead_ms: Millis
    client_request_id: str | None = None
    table_version: Annotated[int, Field(ge=1)] | None = None


class AttemptStarted(Event):
    """Written before an upstream call; acknowledged first for every attempt after the first."""

    type: Literal["AttemptStarted"] = "AttemptStarted"
    data: AttemptStartedData


class AttemptFinished(Event):
    """Written when an upstream call has ended."""

    type: Literal["AttemptFinished"] = "AttemptFinished"
    data: AttemptFinishedData


class FallbackTaken(Event):
    """Written when the plan moves on."""

    type: Literal["FallbackTaken"] = "FallbackTaken"
    data: FallbackTakenData


class RequestCompleted(Event):
    """The one event that settles. Acknowledged by Kafka before the client sees the end of the reply."""

    type: Literal["RequestCompleted"] = "RequestCompleted"
    data: RequestCompletedData
