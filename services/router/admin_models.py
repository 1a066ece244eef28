"""What admin calls take and give, as OpenAPI shows it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from schemas.plain_text import plain_text

Item = TypeVar("Item")
Text = Annotated[str, Field(min_length=1, max_length=128), AfterValidator(plain_text)]
Reason = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(plain_text)]


class ErrorDetail(BaseModel):
    """What is wrong, and what to do."""

    message: str
    type: str
    param: str | None
    code: str


class ErrorBody(BaseModel):
    """The one shape of errors."""

    error: ErrorDetail


class Page(BaseModel, Generic[Item]):
    """One page of a list. `next_after` goes into `after` for the next page; null on the last."""

    object: Literal["list"] = "list"
    data: list[Item]
    next_after: str | None = None


class Because(BaseModel):
    """Why something is changed; `author` counts where the installation's token asks, a user is named by the token."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    author: Text | None = None
    reason: Reason | None = None


class ChannelFault(BaseModel):
    """A channel with a key that cannot be used."""

    channel: str
    out_of_service: bool
    reason: str | None


class TableInForce(BaseModel):
    """The version that is in force now."""

    version: int
    faults: list[ChannelFault]


class StoredTable(BaseModel):
    """A version and its table. A secret of a stored table shows as `(sealed)`; an exported one's key as `{"kept": …}`."""

    version: int
    table: dict[str, Any]


class TableVersion(BaseModel):
    """A version that was once put in force."""

    object: Literal["route_table_version"] = "route_table_version"
    version: int
    created_at: datetime
    channels: int
    models: int
    in_force: bool


class OneTable(TableVersion):
    """A version with its table, without secrets."""

    table: dict[str, Any]


class TableChange(BaseModel):
    """A channel or model that differs. `fields`: name → what it was and what it becomes."""

    kind: Literal["channel", "model"]
    id: str
    change: Literal["added", "removed", "changed"]
    fields: dict[str, dict[str, Any]]


class TableDiff(BaseModel):
    """What a table would change of the version in force."""

    version: int
    changes: list[TableChange]


class FreezeShown(BaseModel):
    """The latest decision on a channel."""

    object: Literal["channel_freeze"] = "channel_freeze"
    channel_id: str
    frozen: bool
    version: int
    author: str
    reason: str | None
    changed_at: datetime


class ChannelShown(BaseModel):
    """A channel of the table in force. Its keys are `{"secret_env": …}` or `{"kept": fingerprint}`: it can be put back."""

    object: Literal["channel"] = "channel"
    table_version: int
    channel: dict[str, Any]
    out_of_service: bool
    fault: str | None
    freeze: FreezeShown | None


class ModelShown(BaseModel):
    """A model of the table in force."""

    object: Literal["model"] = "model"
    table_version: int
    model: dict[str, Any]


class ChannelState(BaseModel):
    """A channel's health in the process that answers."""

    model_config = ConfigDict(extra="allow")

    id: str
    route_type: str
    brand: str
    origin: str
    out_of_service: bool
    fault: str | None
    frozen: bool
    freeze: FreezeShown | None


class ChannelStates(Page[ChannelState]):
    """Every channel's health in the process that answers."""

    version: int


class SealedUnder(BaseModel):
    """How many stored secrets are sealed under a key; null for those of before keys had ids."""

    key_id: str | None
    secrets: int


class SecretsHeld(BaseModel):
    """Under which keys secrets are sealed."""

    current_key_id: str
    sealed: list[SealedUnder]


class Resealing(BaseModel):
    """What was sealed anew."""

    key_id: str
    resealed: int
    already: int
    unreadable: list[dict[str, Any]]


class RoutePlan(BaseModel):
    """Where a request would go, and why: see `docs/contracts.md`, "Dry runs"."""

    model_config = ConfigDict(extra="allow")

    model: str
    table_version: int
    price_version: int
    candidates: list[dict[str, Any]]
    left_out: list[dict[str, Any]]


class AuditEntry(BaseModel):
    """One change: who, what, before, after, why."""

    object: Literal["audit_entry"] = "audit_entry"
    id: UUID
    at: datetime
    actor: str
    actor_name: str
    action: str
    entity_kind: str
    entity_id: str
    account_id: str | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    reason: str | None
    request_id: str | None
    client_ip: str | None


class Batches(BaseModel):
    """The batches that have not ended."""

    data: list[dict[str, Any]]
