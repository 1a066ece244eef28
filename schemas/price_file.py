"""The price file: what an operator writes, an editor checks and settlement reads. Prices are decimals per million tokens."""

from datetime import UTC, date, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from schemas.attempts import RouteType
from schemas.envelope import Identifier

DAY_CHARS = len("2026-01-01")
PRICE_PATTERN = r"^[0-9]+(\.[0-9]{1,9})?$"


def _is_price(value: object) -> object:
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError(f'a price is a string, so that no digit is lost: write "{value}"')  # noqa: TRY004 - pydantic reads ValueError
    return value


def _instant(value: object) -> object:
    """YAML reads a date by itself; a day is its first instant in UTC, and a time has to say its offset."""
    if isinstance(value, str):
        try:
            value = date.fromisoformat(value) if len(value) == DAY_CHARS else datetime.fromisoformat(value)
        except ValueError:
            raise ValueError(f"{value!r} is no instant: write 2026-01-01 or 2026-01-01T00:00:00Z") from None
    if isinstance(value, date) and not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("an instant needs an offset: write 2026-01-01T00:00:00Z")
        try:
            return value.astimezone(UTC)
        except OverflowError:
            raise ValueError(f"{value.isoformat()} is beyond the calendar in UTC: choose another instant") from None
    return value


PriceText = Annotated[
    str,
    BeforeValidator(_is_price),
    Field(json_schema_extra={"pattern": PRICE_PATTERN, "examples": ["2.5", "0.075"]}),
]
Instant = Annotated[
    datetime,
    BeforeValidator(_instant),
    WithJsonSchema({"type": "string", "examples": ["2026-01-01", "2026-01-01T00:00:00Z"]}),
]


class FilePart(BaseModel):
    """A part of the file; a field that it does not know is a mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class BucketLine(FilePart):
    """A balance, its currency, and the route types that it pays for."""

    id: Annotated[Identifier, Field(description="The balance's name, such as credit.")]
    currency: Annotated[Identifier, Field(description="ISO 4217, such as USD. Every price of its route types is in it.")]
    route_types: Annotated[list[RouteType], Field(min_length=1, description="A route type is paid from one bucket.")]


class PriceLine(FilePart):
    """What one upstream model costs on one route type, per million tokens."""

    route_type: RouteType
    model: Annotated[Identifier, Field(description="The upstream model, as the route table's candidates name it.")]
    currency: Annotated[Identifier, Field(description="The currency of the route type's bucket.")]
    input: Annotated[PriceText, Field(description="A million tokens of a prompt.")]
    output: Annotated[PriceText, Field(description="A million tokens of an answer; reasoning counts as output.")]
    cached_input: Annotated[
        PriceText | None,
        Field(description="A million tokens that the provider read from its cache; the input price if left out."),
    ] = None
    cache_write: Annotated[
        PriceText | None, Field(description="A million tokens that it wrote to its cache; the input price if left out.")
    ] = None


class PriceFile(FilePart):
    """A whole price book. It replaces the one before it: what is not in it has no price."""

    version: Annotated[Literal[1], Field(description="Of this file's form.")] = 1
    effective_from: Annotated[
        Instant | None,
        Field(description="From when it counts; at once if left out. A date is its first instant in UTC."),
    ] = None
    buckets: Annotated[list[BucketLine], Field(min_length=1)]
    prices: Annotated[list[PriceLine], Field(min_length=1)]
