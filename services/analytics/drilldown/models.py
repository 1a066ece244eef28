"""What the calls of the drill-down answer, as OpenAPI shows it."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict


class RequestShown(BaseModel):
    """A request that ended, or was refused before anything was tried (`rejected`).

    `model` was asked for, `answered_model` and `channel` answered or failed last. Tokens are those of the charged attempt;
    `burned_tokens` nobody is charged for. `error` is the class of the failure or the code of the refusal.
    """

    at: datetime
    request_id: UUID | None
    run_id: str | None
    account_id: str
    project_id: str
    key_id: str
    key_name: str
    environment: str
    tags: dict[str, str]
    client_api: str
    model: str
    answered_model: str | None
    channel: str | None
    route_type: str | None
    outcome: str
    error: str | None
    http_status: int
    attempts: int
    fallbacks: int
    input_tokens: int
    output_tokens: int
    burned_tokens: int
    bucket: str | None
    currency: str | None
    cost_nano: int | None
    cost: str | None
    latency_ms: float | None
    ttft_ms: float | None


class RequestsPage(BaseModel):
    """The newest first; `next_after` is what to give as `after` for the following page, null at the end."""

    object: Literal["list"]
    data: list[RequestShown]
    next_after: str | None


class Receipt(BaseModel):
    """The receipt of a request as edge gives it (see docs/contracts.md, "The receipt")."""

    model_config = ConfigDict(extra="allow")

    object: Literal["receipt"]
    request_id: str
    status: str
    account_id: str


class LedgerLag(BaseModel):
    """How far the ledger is behind, as settlement says. `away`: it does not say, and all but `reason` is null.

    `records` wait to be settled (null while Kafka does not answer); the oldest request among them ended `oldest_s` ago, null
    where none waits that is known here. `outbox_pending` are events that Kafka has not taken yet.
    """

    away: bool
    reason: str | None
    records: int | None
    oldest_s: float | None
    outbox_pending: int | None
    open_holds: int | None
