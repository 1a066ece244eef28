"""What a dry run answers, for OpenAPI: router writes it, edge adds who asked and the money. A newer router may say more."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from schemas.calls import Policy


class _Told(BaseModel):
    model_config = ConfigDict(extra="allow")


class Place(_Told):
    """One place of a model. `recent_ms`: what calls there took of late, in the router process that answered."""

    channel: str
    route_type: str
    brand: str
    upstream_model: str
    bucket: str | None
    priority: int
    weight: int | None
    prices: dict[str, Any] | None
    recent_ms: float | None
    why: str


class Candidate(Place):
    """A place that such a request would try, in this order. `skipped`: why it would be passed over now."""

    place: int
    sticky: bool
    skipped: str | None
    free_in_s: float | None
    funds: dict[str, Any] | None


class LeftOut(Place):
    """A place that such a request would not try."""

    reason: str


class RoutePlan(_Told):
    """The plan that such a request would get."""

    key_id: str
    account_id: str
    policy: Policy
    model: str
    strategy: str
    strategy_means: str
    table_version: int
    price_version: int | None
    max_attempts: int
    candidates: list[Candidate]
    left_out: list[LeftOut]
