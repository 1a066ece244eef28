"""What admin calls answer, as OpenAPI shows it."""

from typing import Annotated

from pydantic import BaseModel, Field


class PartitionLag(BaseModel):
    """How far a partition is loaded."""

    topic: str
    partition: int
    next: int
    end: int
    lag: int


class EventToRow(BaseModel):
    """Milliseconds from an event to its queryable row; null where nothing was loaded lately."""

    p50: float | None
    p99: float | None
    count: int


class Lag(BaseModel):
    """How far the loader is."""

    partitions: list[PartitionLag]
    event_to_row_ms: EventToRow


class TopicCount(BaseModel):
    """What of a topic is loaded."""

    rows: int
    distinct_event_ids: int


class Counted(BaseModel):
    """One line of a chart: a value for each step."""

    name: str
    values: list[int]


class Measured(BaseModel):
    """One line of a chart in milliseconds; null where nothing succeeded."""

    name: str
    values: list[float | None]


class Spent(BaseModel):
    """One line of a chart in decimal texts of its currency."""

    name: str
    values: list[str | int]


class SpendChart(BaseModel):
    """What was spent of one currency."""

    currency: str
    series: list[Spent]


class SpendOfRoute(BaseModel):
    """What was spent over one kind of route."""

    currency: str
    bucket: str
    route_type: str
    amount_nano: int
    amount: str
    charges: int


class Totals(BaseModel):
    """Sums over the whole range."""

    requests: dict[str, int]
    tokens: dict[str, int]
    fallbacks: int


class Series(BaseModel):
    """What is drawn over time. `times` are the beginnings of the steps, in seconds since 1970."""

    since: Annotated[int, Field(alias="from")]
    to: int
    step_seconds: int
    times: list[int]
    requests: list[Counted]
    tokens: list[Counted]
    spend: list[SpendChart]
    spend_by_route: list[SpendOfRoute]
    fallbacks: list[Counted]
    latency_ms: list[Measured]
    ttft_ms: list[Measured]
    totals: Totals


class ChannelErrors(BaseModel):
    """A channel's attempts, how many failed and why."""

    channel: str
    attempts: int
    failed: int
    by_class: dict[str, int]


class SpentOfKey(BaseModel):
    """What a key spent of one currency."""

    currency: str
    amount_nano: int
    amount: str


class TopKey(BaseModel):
    """A key that used much."""

    key_id: str
    key_name: str
    project_id: str
    account_id: str
    requests: int
    failed: int
    fallbacks: int
    tokens: int
    spend: list[SpentOfKey]


class SpendOfModel(BaseModel):
    """What a model that was asked for cost, by the model that answered."""

    model: str
    upstream_model: str
    currency: str
    bucket: str
    charges: int
    amount_nano: int
    amount: str


class Quantiles(BaseModel):
    """Latency of the whole range in milliseconds; null where nothing succeeded."""

    latency_p50: float | None
    latency_p99: float | None
    ttft_p50: float | None
    ttft_p99: float | None


class Tables(BaseModel):
    """What is listed beside the charts."""

    since: Annotated[int, Field(alias="from")]
    to: int
    errors_by_channel: list[ChannelErrors]
    top_keys: list[TopKey]
    spend_by_model: list[SpendOfModel]
    latency: Quantiles
