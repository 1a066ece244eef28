"""What the list of an account's requests answers, as OpenAPI shows it."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel

from services.settlement.request_pages import Outcome, State


class RequestCharge(BaseModel):
    """What the request was charged, and how much of that was given back."""

    bucket: str
    currency: str
    amount_nano: int
    amount: str
    refunded_nano: int


class RequestRow(BaseModel):
    """A request in short. What is not known before it completes is null.

    `channel`, `brand`, `route_type`, `upstream_model` and `usage` are those of the attempt that is charged, else of the last.
    """

    object: Literal["request"]
    request_id: UUID
    state: State
    account_id: str
    project_id: str
    key_id: str
    key_name: str
    environment: str
    tags: dict[str, str]
    run_id: str | None
    outcome: Outcome | None
    error_class: str | None
    http_status: int | None
    client_api: str | None
    requested_model: str | None
    answered_model: str | None
    stream: bool | None
    accepted_at: datetime
    settled_at: datetime | None
    latency_ms: float | None
    ttft_ms: float | None
    channel: str | None
    brand: str | None
    route_type: str | None
    upstream_model: str | None
    attempts: int
    fallbacks: int
    usage: dict[str, int] | None
    refusal: str | None
    charge: RequestCharge | None
