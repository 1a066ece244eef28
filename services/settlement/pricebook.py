"""A price book: what each model costs on each route type, and which bucket pays. Pure: from YAML or JSON to values."""

import hashlib
from dataclasses import dataclass
from typing import Any, get_args

import orjson
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from schemas.attempts import RouteType
from schemas.envelope import Identifier
from schemas.ledger import PriceItem
from schemas.money import AmountError, Prices
from services.settlement.errors import InvalidError

ROUTE_TYPES = get_args(RouteType)


@dataclass(frozen=True, slots=True)
class Bucket:
    """A balance with a meaning: its id and its currency."""

    id: str
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceBook:
    """One version of all prices. `buckets` by route type, `prices` by (route type, model)."""

    version: int
    sha256: str
    buckets: dict[str, Bucket]
    prices: dict[tuple[str, str], Prices]
    items: tuple[PriceItem, ...]

    def bucket_named(self, bucket_id: str) -> Bucket | None:
        """The bucket with the id, if the book knows it."""
        return next((bucket for bucket in self.buckets.values() if bucket.id == bucket_id), None)


class _BucketLine(BaseModel):
    model_config = ConfigDict(extra="forbid")

    id: Identifier
    currency: Identifier
    route_types: list[RouteType] = Field(min_length=1)


class _PriceLine(BaseModel):
    model_config = ConfigDict(extra="forbid")

    route_type: RouteType
    model: Identifier
    currency: Identifier
    input: str
    output: str
    cached_input: str | None = None
    cache_write: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BookDocument:
    """A validated book before it has a version: its canonical form and the digest of that."""

    canonical: dict[str, Any]
    sha256: str

    def as_book(self, version: int) -> PriceBook:
        """The book under its version."""
        return book_from(self.canonical, version=version, sha256=self.sha256)


def book_from(canonical: dict[str, Any], *, version: int, sha256: str) -> PriceBook:
    """A book from its stored canonical document."""
    items = tuple(PriceItem.model_validate(item) for item in canonical["items"])
    return PriceBook(
        version=version,
        sha256=sha256,
        buckets={
            route_type: Bucket(bucket["id"], bucket["currency"])
            for bucket in canonical["buckets"]
            for route_type in bucket["route_types"]
        },
        prices={(item.route_type, item.model): item.prices for item in items},
        items=items,
    )


def parse_book(text: str) -> BookDocument:
    """Validate a book written as YAML (or JSON, which is YAML). Raises InvalidError that names the line and the reason."""
    data, lines = _load(text)
    buckets = _buckets(data, lines)
    currency_of: dict[str, str] = {route_type: bucket.currency for bucket in buckets for route_type in bucket.route_types}
    items: dict[tuple[str, str], PriceItem] = {}
    for entry, line in zip(_listed(data, "prices"), lines["prices"], strict=True):
        item = _item(entry, line)
        if currency_of.get(item.route_type) != item.currency:
            raise _at(line, f"{item.route_type} is paid in {currency_of.get(item.route_type)}, not in {item.currency}")
        if (item.route_type, item.model) in items:
            raise _at(line, f"{item.model} on {item.route_type} has a price already")
        items[item.route_type, item.model] = item
    canonical = {
        "buckets": [bucket.model_dump() for bucket in sorted(buckets, key=lambda bucket: bucket.id)],
        "items": [items[key].model_dump() for key in sorted(items)],
    }
    digest = hashlib.sha256(orjson.dumps(canonical, option=orjson.OPT_SORT_KEYS)).hexdigest()
    return BookDocument(canonical=canonical, sha256=digest)


def _load(text: str) -> tuple[dict[str, Any], dict[str, list[int]]]:
    """The document and, for each of its lists, the line on which every entry begins."""
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.SafeLoader)):
            raise InvalidError("a price book has no aliases: write every line out", code="invalid_price_book")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise _at(line, str(error.problem)) from error
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        # A value under an explicit tag that it does not fit (`!!timestamp x`) breaks inside the loader in many ways.
        raise InvalidError(f"the price book is not YAML: {error}", code="invalid_price_book") from error
    if not isinstance(node, yaml.MappingNode) or not isinstance(data, dict):
        raise InvalidError("a price book is a mapping with `buckets` and `prices`", code="invalid_price_book")
    _refuse_repeated_fields(node)
    lines = {
        str(key.value): [entry.start_mark.line + 1 for entry in value.value]
        for key, value in node.value
        if isinstance(value, yaml.SequenceNode)
    }
    return data, lines


def _refuse_repeated_fields(root: yaml.Node) -> None:
    """Raise :class:`InvalidError` where a mapping has a field twice: the loader would take the last price silently."""
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if isinstance(node, yaml.SequenceNode):
            waiting += reversed(node.value)
        elif isinstance(node, yaml.MappingNode):
            waiting += [value for _, value in reversed(node.value)]
            names: set[str] = set()
            for key, _ in node.value:
                if key.value in names:
                    raise _at(key.start_mark.line + 1, f"{key.value} stands twice in the same place: leave one of them out")
                names.add(key.value)


def _listed(data: dict[str, Any], name: str) -> list[Any]:
    value = data.get(name)
    if not isinstance(value, list) or not value:
        raise InvalidError(f"a price book needs a list of `{name}`", code="invalid_price_book", param=name)
    return value


def _buckets(data: dict[str, Any], lines: dict[str, list[int]]) -> list[_BucketLine]:
    found: list[_BucketLine] = []
    for entry, line in zip(_listed(data, "buckets"), lines["buckets"], strict=True):
        try:
            bucket = _BucketLine.model_validate(entry)
        except ValidationError as error:
            raise _at(line, _first(error)) from error
        if any(other.id == bucket.id or set(other.route_types) & set(bucket.route_types) for other in found):
            raise _at(line, "a bucket is named once, and a route type is paid from one bucket")
        found.append(bucket)
    return found


def _item(entry: object, line: int) -> PriceItem:
    try:
        price = _PriceLine.model_validate(entry)
        prices = Prices.parse(price.input, price.output, price.cached_input, price.cache_write)
    except ValidationError as error:
        raise _at(line, _first(error)) from error
    except AmountError as error:
        raise _at(line, str(error)) from error
    return PriceItem(route_type=price.route_type, model=price.model, currency=price.currency, prices=prices)


def _first(error: ValidationError) -> str:
    detail = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in detail["loc"])
    return f"{where}: {detail['msg']}" if where else str(detail["msg"])


def _at(line: int, reason: str) -> InvalidError:
    return InvalidError(f"line {line}: {reason}", code="invalid_price_book", param=f"line {line}")
