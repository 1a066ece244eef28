"""What the admin calls about prices answer, as OpenAPI shows it. Prices are decimal texts per million tokens."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel

from schemas.price_file import PriceFile

Status = Literal["in_force", "scheduled", "superseded", "withdrawn"]


class PriceBookRow(BaseModel):
    """One version. It counts from `in_force_from` until `in_force_until`, null where nothing follows it as far as is known."""

    version: int
    sha256: str
    status: Status
    items: int
    in_force_from: datetime | None
    in_force_until: datetime | None
    effective_from: datetime | None
    published_at: datetime
    author: str | None
    withdrawn_at: datetime | None
    withdrawn_by: str | None
    withdrawn_because: str | None


class PriceBookWithFile(PriceBookRow):
    """One version with its prices, as a file that can be posted again: it has the same digest."""

    book: PriceFile


class Scheduled(BaseModel):
    """A version that comes into force by its date."""

    version: int
    effective_from: datetime


class PriceBookReply(PriceBookRow):
    """A published book; `new` unless its content was there already. `warnings` name what looks like a mistake."""

    new: bool
    warnings: list[str]
    scheduled: list[Scheduled]


class PriceChange(BaseModel):
    """A bucket or a price that differs. `fields`: name → `{before, after}`."""

    kind: Literal["bucket", "price"]
    id: str
    change: Literal["added", "removed", "changed"]
    fields: dict[str, dict[str, Any]]


class PriceDiff(BaseModel):
    """What changes beside `version` (0: there is none)."""

    version: int
    same: bool
    changes: list[PriceChange]
    warnings: list[str]


class PriceFileDiff(PriceDiff):
    """What a file would change of the version that it would replace at its `effective_from`."""

    effective_from: datetime | None
    scheduled: list[Scheduled]


class VersionDiff(PriceDiff):
    """What changes from `version` to `to`."""

    to: int
