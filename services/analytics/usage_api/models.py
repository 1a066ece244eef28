"""What a usage report answers, as OpenAPI shows it."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class Cost(BaseModel):
    """What was charged in one currency: exact, from the ledger."""

    currency: str
    cost_nano: int
    cost: str


class UsageTotals(BaseModel):
    """Requests that ended, their tokens, and what was charged. Tokens are those of charged requests; burned ones of all."""

    requests: int
    failed: int
    attempts: int
    fallbacks: int
    input_tokens: int
    cached_input_tokens: int
    cache_write_tokens: int
    output_tokens: int
    reasoning_tokens: int
    burned_tokens: int
    costs: list[Cost]


class UsageRow(UsageTotals):
    """The same of one group, which further members name: `day`, `hour`, `key_id`, `model`, `tag:NAME` and so on."""

    model_config = ConfigDict(extra="allow")


class UsageReport(BaseModel):
    """Usage from an instant to before another, a page of it; `totals` is of all pages."""

    object: Literal["usage"]
    since: Annotated[str, Field(alias="from")]
    to: str
    timezone: str
    interval: str
    by: list[str]
    totals: UsageTotals
    data: list[UsageRow]
    next_after: str | None
