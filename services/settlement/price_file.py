"""Reads a price file: YAML (or JSON, which is YAML) to a document, or every mistake with its line, column and reason. Pure."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import yaml
from pydantic import ValidationError

from schemas.ledger import PriceItem
from schemas.money import NANO_PER_UNIT, AmountError, Prices
from schemas.price_file import PriceFile, PriceLine
from schemas.yaml_text import YamlTextError, read_yaml
from services.settlement.errors import InvalidError
from services.settlement.pricebook import BookDocument, book_document

CODE = "invalid_price_book"
SHOWN = 20
"""Mistakes that one answer names."""
MOST_NANO = 100_000_000 * NANO_PER_UNIT
"""Nothing costs a hundred units of any currency a token: whoever writes that has mistaken what the price is per."""
PRICES = ("input", "output", "cached_input", "cache_write")
Place = tuple[str | int, ...]


class Problem(NamedTuple):
    """A mistake and where it stands; lines and columns count from 1."""

    line: int
    column: int
    reason: str

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}: {self.reason}"


def parse_book(text: str) -> BookDocument:
    """The book that a file describes. Raises InvalidError that names every mistake's line, column and reason."""
    node, data = _load(text)
    problems = _repeated_fields(node)
    if problems:
        raise _refused(problems)
    try:
        file = PriceFile.model_validate(data)
    except ValidationError as error:
        raise _refused([_problem(node, dict(each)) for each in error.errors(include_url=False)]) from error
    found = _Reader(node, file)
    items = found.items()
    if found.problems:
        raise _refused(found.problems)
    buckets = [bucket.model_dump() for bucket in sorted(file.buckets, key=lambda bucket: bucket.id)]
    return book_document(buckets, items, effective_from=file.effective_from)


class _Reader:
    """What the file's form alone does not say: buckets and currencies that fit, prices that are some."""

    def __init__(self, node: yaml.MappingNode, file: PriceFile) -> None:
        self._node = node
        self._file = file
        self._currency_of: dict[str, str] = {}
        self.problems: list[Problem] = []

    def items(self) -> list[PriceItem]:
        """The priced items; what is wrong is in `problems`."""
        self._read_buckets()
        found: dict[tuple[str, str], PriceItem] = {}
        for index, price in enumerate(self._file.prices):
            currency = self._currency_of.get(price.route_type)
            if currency != price.currency:
                self._add(("prices", index, "currency"), f"{price.route_type} is paid in {currency}, not in {price.currency}")
            if (price.route_type, price.model) in found:
                self._add(("prices", index, "model"), f"{price.model} on {price.route_type} has a price already")
            if (prices := self._prices(index, price)) is not None:
                item = PriceItem(route_type=price.route_type, model=price.model, currency=price.currency, prices=prices)
                found[price.route_type, price.model] = item
        return list(found.values())

    def _read_buckets(self) -> None:
        ids: set[str] = set()
        for index, bucket in enumerate(self._file.buckets):
            if bucket.id in ids or len(set(bucket.route_types)) < len(bucket.route_types) or self._paid(bucket.route_types):
                self._add(("buckets", index), "a bucket is named once, and a route type is paid from one bucket")
            ids.add(bucket.id)
            self._currency_of |= dict.fromkeys(bucket.route_types, bucket.currency)

    def _paid(self, route_types: Sequence[str]) -> bool:
        return not self._currency_of.keys().isdisjoint(route_types)

    def _prices(self, index: int, price: PriceLine) -> Prices | None:
        before = len(self.problems)
        for name in PRICES:
            text = getattr(price, name)
            if text is not None:
                self._check(("prices", index, name), name, text)
        if len(self.problems) > before:
            return None
        return Prices.parse(price.input, price.output, price.cached_input, price.cache_write)

    def _check(self, place: Place, name: str, text: str) -> None:
        try:
            nano = Prices.parse(text, text).input
        except AmountError as error:
            self._add(place, f"{name}: {error}")
            return
        if nano > MOST_NANO:
            self._add(place, f"{name}: {text} is more than 100 for a single token: prices are per million tokens")

    def _add(self, place: Place, reason: str) -> None:
        self.problems.append(Problem(*_where(self._node, place), reason))


def _load(text: str) -> tuple[yaml.MappingNode, dict[Any, Any]]:
    """The document's nodes, which know where they stand, and its values."""
    try:
        node, data = read_yaml(text)
    except YamlTextError as error:
        if error.line is None or error.column is None:
            raise InvalidError(f"the price book is not YAML: {error}", code=CODE) from error
        raise _refused([Problem(error.line, error.column, error.reason)]) from error
    if not isinstance(node, yaml.MappingNode) or not isinstance(data, dict):
        raise InvalidError("a price book is a mapping with `buckets` and `prices`", code=CODE)
    return node, data


def _repeated_fields(root: yaml.Node) -> list[Problem]:
    """Where a mapping has a field twice: the loader would take the last price silently."""
    found: list[Problem] = []
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
                    reason = f"{key.value} stands twice in the same place: leave one of them out"
                    found.append(Problem(*_mark(key), reason))
                names.add(key.value)
    return found


def _problem(root: yaml.MappingNode, detail: dict[str, Any]) -> Problem:
    place = tuple(detail["loc"])
    name = ".".join(str(part) for part in place if not isinstance(part, int))
    if detail["type"] == "missing":
        return Problem(*_where(root, place[:-1]), f"{name}: is missing")
    if detail["type"] == "extra_forbidden":
        return Problem(*_where(root, place, at_key=True), f"{name}: is not a field of a price file")
    reason = str(detail["msg"]).removeprefix("Value error, ")
    return Problem(*_where(root, place), f"{name}: {reason}" if name else reason)


def _where(root: yaml.Node, place: Place, *, at_key: bool = False) -> tuple[int, int]:
    """Line and column of what a path leads to, as far as it can be followed."""
    node, mark = root, _mark(root)
    for part in place:
        if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            mark = _mark(node)
        elif isinstance(node, yaml.MappingNode):
            key, value = next(((key, value) for key, value in node.value if key.value == part), (None, None))
            if key is None or value is None:
                break
            node, mark = value, _mark(key if at_key else value)
        else:
            break
    return mark


def _mark(node: yaml.Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1


def _refused(problems: Sequence[Problem]) -> InvalidError:
    first, more = problems[0], len(problems) - 1
    message = f"{first} (and {more} more)" if more else str(first)
    listed = [each._asdict() for each in problems[:SHOWN]]
    return InvalidError(message, code=CODE, param=f"line {first.line}", facts={"problems": listed})
