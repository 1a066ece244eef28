"""Price books that a sequence may publish: dearer, cheaper, and with a model less."""

from dataclasses import dataclass
from decimal import Decimal

import orjson

from schemas.money import Prices
from services.settlement.price_file import parse_book
from services.settlement.pricebook import BookDocument

MODELS = ["gpt-4o", "gpt-4o-mini", "gpt-4.1"]
BUCKETS = {"direct": ("credit", "USD"), "pooled": ("wallet", "CNY"), "subscription": ("team", "USD")}
"""Bucket and currency by route type; `team` is the cost centre's."""
PREPAID = ("credit", "wallet")
COST_CENTRE = "team"
Line = tuple[str, str, str | None, str | None]
"""Input, output, cached input, cache write, per million tokens."""


@dataclass(frozen=True)
class Book:
    """A price book, as settlement reads it and as the model knows it."""

    document: BookDocument
    prices: dict[tuple[str, str], Prices]


def _book(lines: dict[tuple[str, str], Line]) -> Book:
    buckets = [{"id": bucket, "currency": currency, "route_types": [route]} for route, (bucket, currency) in BUCKETS.items()]
    prices = []
    for (route, model), (input_, output, cached, write) in lines.items():
        price = {"route_type": route, "model": model, "currency": BUCKETS[route][1], "input": input_, "output": output}
        prices.append(price | {name: text for name, text in (("cached_input", cached), ("cache_write", write)) if text})
    text = orjson.dumps({"buckets": buckets, "prices": prices}).decode()
    return Book(parse_book(text), {key: Prices.parse(*line) for key, line in lines.items()})


FIRST: dict[tuple[str, str], Line] = {
    ("direct", "gpt-4o"): ("2.50", "10.00", "1.25", None),
    ("direct", "gpt-4o-mini"): ("0.15", "0.60", "0.075", None),
    ("direct", "gpt-4.1"): ("2.00", "8.00", "0.50", "2.75"),
    ("pooled", "gpt-4o"): ("9.0", "36", "4.5", None),
    ("pooled", "gpt-4o-mini"): ("0.55", "2.1", None, None),
    ("pooled", "gpt-4.1"): ("1.1", "4.4", "0.3", "1.9"),
    ("subscription", "gpt-4o"): ("1.00", "4.00", None, None),
    ("subscription", "gpt-4o-mini"): ("0.05", "0.25", None, None),
    ("subscription", "gpt-4.1"): ("0.80", "3.333333333", "0.2", None),
}
DEARER: dict[tuple[str, str], Line] = {
    key: (str(Decimal(line[0]) * 3 + Decimal("0.000000001")), str(Decimal(line[1]) * 2 + 1), line[2], line[3])
    for key, line in FIRST.items()
    if key != ("pooled", "gpt-4.1")
}
CHEAPER: dict[tuple[str, str], Line] = {
    key: ("0.333333333", "0.777777777", "0.1", "0.45") for key in FIRST if key != ("direct", "gpt-4o-mini")
}
BOOKS = [_book(FIRST), _book(DEARER), _book(CHEAPER)]
