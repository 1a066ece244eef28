"""The shapes of the calls about alert rules."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel

from schemas.alert_rules import AlertRules


class RulesInForce(BaseModel):
    """One version. `file` can be applied again; version 0 is that of an installation without rules."""

    version: int
    sha256: str
    author: str
    applied_at: datetime | None
    file: str
    rules: AlertRules


class RulesApplied(BaseModel):
    """What applying a file came to. `new` is false where the file was in force already."""

    version: int
    sha256: str
    author: str
    applied_at: datetime | None
    new: bool


class RuleChange(BaseModel):
    """A rule or receiver that differs; `fields` of one that is changed: before and after."""

    change: Literal["added", "removed", "changed"]
    kind: Literal["rule", "receiver"]
    id: str
    fields: dict[str, dict[str, Any]]


class RulesDiff(BaseModel):
    """What a file would change of the version in force."""

    version: int
    changes: list[RuleChange]


class RulesVersion(BaseModel):
    """A version without its file."""

    version: int
    sha256: str
    author: str
    applied_at: datetime


class RulesVersions(BaseModel):
    """A page of versions, the last first."""

    object: Literal["list"]
    data: list[RulesVersion]
    next_after: str | None
