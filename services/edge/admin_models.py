"""What admin calls take and give."""

from datetime import datetime
from typing import Annotated, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from schemas.calls import Policy

Name = Annotated[str, Field(min_length=1, max_length=128)]
Id = Annotated[str, Field(min_length=1, max_length=128)]
Item = TypeVar("Item")


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class AccountBody(_Body):
    """A new account."""

    name: Name


class ProjectBody(_Body):
    """A new project of an account."""

    account_id: Id
    name: Name


class PolicyBody(Policy):
    """A key's policy as an operator gives it: a field that is not known is a mistake, not the future."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class KeyBody(_Body):
    """A new key of a project."""

    project_id: Id
    name: Name
    environment: Name = "default"
    policy: PolicyBody = Field(default_factory=PolicyBody)


class Account(BaseModel):
    """An account: owns projects and balances."""

    object: Literal["account"] = "account"
    account_id: str
    name: str
    frozen: bool
    version: int
    created_at: datetime


class Project(BaseModel):
    """A project: owns keys."""

    object: Literal["project"] = "project"
    project_id: str
    account_id: str
    name: str
    frozen: bool
    version: int
    created_at: datetime


class Key(BaseModel):
    """A key without its secret."""

    object: Literal["api_key"] = "api_key"
    key_id: str
    project_id: str
    name: str
    environment: str
    policy: Policy
    frozen: bool
    revoked: bool
    version: int
    created_at: datetime


class CreatedKey(Key):
    """A new key. `api_key` is the token, shown this once."""

    api_key: str


class Page(BaseModel, Generic[Item]):
    """One page of a list in id order. `next_after` goes into `after` for the next page; None on the last."""

    object: Literal["list"] = "list"
    data: list[Item]
    next_after: str | None
