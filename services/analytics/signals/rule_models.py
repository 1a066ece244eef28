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


class WouldHaveFired(BaseModel):
    """An alert that would have fired. `observed` is the most while it was open; `ended_at` null: it would not be over."""

    rule: str
    signal: str
    subject_kind: str
    subject_id: str
    account_id: str
    severity: str
    action: str
    fired_at: datetime
    ended_at: datetime | None
    observed: float
    baseline: float | None
    threshold: float
    unit: str


class RulesBacktest(BaseModel):
    """What a file would have said of the past: how many alerts by rule, and each of them (the first 500; else `truncated`)."""

    minutes: int
    fired: dict[str, int]
    truncated: bool
    alerts: list[WouldHaveFired]
