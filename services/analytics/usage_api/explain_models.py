"""What an explanation of a cost's change answers, as OpenAPI shows it."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

EffectName = Literal[
    "volume",
    "prompt_size",
    "cache",
    "output_size",
    "mix",
    "price",
    "fallback",
    "retry",
    "unpriced",
    "rounding",
]


class SpanTotals(BaseModel):
    """What a span cost, and the charged requests that were planned in the currency, with their tokens."""

    cost_nano: int
    cost: str
    requests: int
    fallbacks: int
    input_tokens: int
    cached_input_tokens: int
    cache_write_tokens: int
    output_tokens: int


class EffectContributor(BaseModel):
    """Who or what gave much to an effect; in `mix`, the models that lost and won the most of its requests."""

    by: Literal["model", "route", "key", "project", "account"]
    id: str
    name: str | None
    change_nano: int
    change: str
    moved_from: str | None
    moved_to: str | None


class Effect(BaseModel):
    """One part of the change."""

    effect: EffectName
    change_nano: int
    change: str
    sentence: str
    contributors: list[EffectContributor]


class CurrencyExplanation(BaseModel):
    """Of one currency. The effects add up to the change, to the nano."""

    currency: str
    before: SpanTotals
    after: SpanTotals
    change_nano: int
    change: str
    summary: str
    effects: list[Effect]
    notes: list[str]


class UsageExplanation(BaseModel):
    """Why the cost of a span is another than that of the span that it is compared with: a block per currency."""

    object: Literal["usage.explanation"]
    since: Annotated[str, Field(alias="from")]
    to: str
    against_from: str
    against_to: str
    timezone: str
    data: list[CurrencyExplanation]
