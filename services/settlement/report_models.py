"""What the admin calls about exchange rates and margins answer. Amounts are decimal texts and integers of nano."""

from datetime import date as date_of
from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class RateFields(BaseModel):
    """One unit of `from` is worth `rate` of `to`."""

    model_config = ConfigDict(populate_by_name=True)

    from_currency: Annotated[str, Field(alias="from")]
    to: str
    date: date_of
    rate: str
    source: str


class RateRow(RateFields):
    """A rate as it was set; `superseded_at` where a later one of the same pair and day counts."""

    id: int
    author: str
    set_at: datetime
    superseded_at: datetime | None


class RatesReply(BaseModel):
    """How many of the rates are new and how many were so already."""

    set: int
    unchanged: int


class Figures(BaseModel):
    """`margin` = `charged` - `refunded` - `cost`. `uncosted` was charged by requests whose cost no channel declares."""

    requests: int
    charged: str
    charged_nano: int
    refunded: str
    refunded_nano: int
    cost: str
    cost_nano: int
    uncosted: str
    uncosted_nano: int


class MarginFigures(Figures):
    """`margin_percent` is of what was charged and not refunded; null of nothing."""

    margin: str
    margin_nano: int
    margin_percent: str | None


class MarginRow(MarginFigures):
    """One day, model, channel or account; null where the ledger cannot name it."""

    key: str | None


class Unconverted(Figures):
    """A day's money in a currency without a known rate, or by whose rate it is more than can be shown: it is in no total."""

    key: str | None
    date: date_of
    currency: str


class RateUsed(RateFields):
    """By what a day's amounts in `currency` were converted: the rate of `rate_of`, or one divided by it."""

    currency: str
    rate_of: date_of
    inverted: bool


class MarginReport(BaseModel):
    """What was earned from `from` to `to`, both included, in UTC."""

    model_config = ConfigDict(populate_by_name=True)

    object: Literal["margin_report"]
    since: Annotated[date_of, Field(alias="from")]
    to: date_of
    by: Literal["day", "model", "channel", "account"]
    currency: str
    data: list[MarginRow]
    total: MarginFigures
    unconverted: list[Unconverted]
    rates: list[RateUsed]
