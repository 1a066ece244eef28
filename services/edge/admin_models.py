"""What admin calls take and give."""

from datetime import datetime
from typing import Annotated, Generic, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictInt

from schemas.calls import Policy
from schemas.plain_text import plain_text
from services.edge.client_address import parse_networks
from services.edge.policies import EnvelopePolicy

Name = Annotated[str, Field(min_length=1, max_length=128), AfterValidator(plain_text)]
Id = Annotated[str, Field(min_length=1, max_length=128)]
Item = TypeVar("Item")
MAX_NETWORKS = 100


def _canonical(texts: list[str]) -> list[str]:
    """Networks as they are stored: each once, an address as the network of itself."""
    return list(dict.fromkeys(str(network) for network in parse_networks(texts)))


PerMinute = Annotated[StrictInt, Field(ge=1, le=10**9)]
Time = Annotated[str, Field(min_length=1, max_length=40, examples=["30d", "2027-01-01T00:00:00Z"])]
AllowedIps = Annotated[
    list[Annotated[str, Field(max_length=64)]],
    Field(min_length=1, max_length=MAX_NETWORKS, examples=[["192.0.2.0/24", "2001:db8::/32"]]),
    AfterValidator(_canonical),
]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PolicyBody(EnvelopePolicy):
    """A policy as an operator gives it: a field that is not known is a mistake, not the future."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class InnerPolicyBody(PolicyBody):
    """The policy of a project or key: that failed attempts are charged is the account's to permit, and theirs to forbid."""

    charge_failed: Literal[False] | None = None


class Because(_Body):
    """Who changes something, and why. Recorded with the change, and told to whoever obeys it.

    `author` counts with the admin token alone: of a user who calls, the user is recorded, whatever it says.
    """

    author: Name = "admin"
    reason: Annotated[str, Field(min_length=1, max_length=500), AfterValidator(plain_text)] | None = None


class FreezeBecause(Because):
    """Who freezes and why; `owner_may_unfreeze` lets an owner undo what the installation froze, as rules of alerts do."""

    owner_may_unfreeze: bool = False


class PolicyChange(Because):
    """Another policy in place of the one that there is; null takes it away."""

    policy: PolicyBody | None


class InnerPolicyChange(PolicyChange):
    """The same for a project or key."""

    policy: InnerPolicyBody | None


class _Paced(_Body):
    """What the calls of everything within may come to in a minute; null: no limit of its own."""

    requests_per_minute: PerMinute | None = None
    tokens_per_minute: PerMinute | None = None


class AccountBody(_Paced):
    """A new account."""

    name: Name
    policy: PolicyBody | None = None


class ProjectBody(_Paced):
    """A new project of an account."""

    account_id: Id
    name: Name
    policy: InnerPolicyBody | None = None


class KeyBody(_Paced):
    """A new key of a project. `expires_at` is an instant or a duration from now; `allowed_ips` null: from anywhere."""

    project_id: Id
    name: Name
    environment: Name = "default"
    policy: InnerPolicyBody | None = None
    expires_at: Time | None = None
    allowed_ips: AllowedIps | None = None


class _Entity(BaseModel):
    """What accounts, projects and keys share. `effective_policy` is their own under those of the envelopes around them."""

    name: str
    policy: EnvelopePolicy | None
    effective_policy: Policy
    frozen: bool
    frozen_by_operator: bool
    version: int
    requests_per_minute: int | None
    tokens_per_minute: int | None
    created_at: datetime
    updated_at: datetime
    updated_by: str | None


class Account(_Entity):
    """An account: owns projects and balances."""

    object: Literal["account"] = "account"
    account_id: str


class Project(_Entity):
    """A project: owns keys."""

    object: Literal["project"] = "project"
    project_id: str
    account_id: str


class Key(_Entity):
    """A key without its secret. The one that was replaced at `rotated_at` works until `previous_expires_at`."""

    object: Literal["api_key"] = "api_key"
    key_id: str
    project_id: str
    account_id: str
    environment: str
    revoked: bool
    expires_at: datetime | None
    allowed_ips: list[str] | None
    rotated_at: datetime | None
    previous_expires_at: datetime | None


class CreatedKey(Key):
    """A new key. `api_key` is the token, shown this once."""

    api_key: str


class Change(BaseModel):
    """What was done to an account, a project or a key. `policy` is the one that was put in place."""

    object: Literal["change"] = "change"
    version: int
    what: Literal["frozen", "unfrozen", "policy", "revoked", "changed", "rotated"]
    author: str
    reason: str | None
    policy: EnvelopePolicy | None
    at: datetime


class Page(BaseModel, Generic[Item]):
    """One page of a list in id order. `next_after` goes into `after` for the next page; None on the last."""

    object: Literal["list"] = "list"
    data: list[Item]
    next_after: str | None
