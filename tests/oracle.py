"""What every request must cost, computed a second time and another way: Decimal, from the trace and the price file alone.

It imports nothing of Tollbook (import-linter holds that), so that an error in the product's arithmetic cannot hide here too.
"""

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Any

import yaml

PRICE_FILE = Path(__file__).parent.parent / "deploy" / "catalog" / "prices.yaml"
MILLION = Decimal(1_000_000)
NANO = Decimal("0.000000001")


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """What the provider counted. `prompt` includes `cached`, and `written` to its cache, as providers report it."""

    prompt: int
    output: int
    cached: int = 0
    written: int = 0


@dataclass(frozen=True, kw_only=True)
class Charge:
    """An amount in a currency, and the bucket that has to pay it."""

    bucket: str
    currency: str
    amount: Decimal


class Oracle:
    """The price file, and what it makes of tokens."""

    def __init__(self, price_file: Path = PRICE_FILE) -> None:
        book: dict[str, Any] = yaml.safe_load(price_file.read_text("utf-8"))
        self._prices = {(row["route_type"], row["model"]): row for row in book["prices"]}
        self._buckets = {kind: row["id"] for row in book["buckets"] for kind in row["route_types"]}

    def charge(self, route_type: str, model: str, tokens: Tokens) -> Charge:
        """The charge for one answered request, rounded once, half to even, to a billionth of the currency's unit."""
        row = self._prices[(route_type, model)]
        price_in, price_out = Decimal(row["input"]), Decimal(row["output"])
        price_cached = Decimal(row.get("cached_input", row["input"]))
        price_written = Decimal(row.get("cache_write", row["input"]))
        fresh = tokens.prompt - tokens.cached - tokens.written
        exact = fresh * price_in + tokens.cached * price_cached + tokens.written * price_written + tokens.output * price_out
        amount = (exact / MILLION).quantize(NANO, rounding=ROUND_HALF_EVEN)
        return Charge(bucket=self._buckets[route_type], currency=row["currency"], amount=amount)

    def charges(self, attempts: list[tuple[str, str, Tokens]]) -> Charge:
        """The charge for several attempts that one bucket pays, each rounded by itself: (route type, model, tokens)."""
        each = [self.charge(route_type, model, tokens) for route_type, model, tokens in attempts]
        if not each:
            return Charge(bucket="", currency="", amount=Decimal(0))
        assert len({(one.bucket, one.currency) for one in each}) == 1
        return Charge(bucket=each[0].bucket, currency=each[0].currency, amount=sum((one.amount for one in each), Decimal(0)))
