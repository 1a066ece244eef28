"""From a router's bounds to what the hold function needs, and from its decision to the answer. Pure."""

from collections.abc import Callable
from typing import Any

import orjson

from schemas.calls import HoldRequest
from schemas.money import INT64_MAX, Prices
from services.settlement.bounds import UnitPrice, amount_nano, fits
from services.settlement.pricebook import PriceBook
from services.settlement.refusals import Refusal, Stop, stored
from services.settlement.runs import RunFacts

StopOf = Callable[[str, str, str], Stop | None]
"""(account, project, key) → whatever of them is frozen."""


class HoldOrder:
    """One hold as the hold function takes it. `code` is set when it is refused before the balances are looked at."""

    __slots__ = (
        "bucket",
        "code",
        "covered",
        "currency",
        "detail",
        "needed_nano",
        "prices",
        "request",
        "run",
        "stop",
        "unit_prices",
    )

    def __init__(self, request: HoldRequest, book: PriceBook, stop: Stop | None, run: RunFacts | None = None) -> None:
        bucket = book.buckets.get(request.candidates[0].route_type)
        self.request = request
        self.run = run
        self.bucket = bucket.id if bucket else ""
        self.currency = bucket.currency if bucket else ""
        self.prices = covered_prices(request, book)
        self.unit_prices = [UnitPrice(price.dearest_input, price.output) for price in self.prices if price is not None]
        self.needed_nano: int | None = None
        self.stop = stop
        self.code = stop.code if stop is not None else self._run_code() or self._code()
        self.detail = detail_of(request, None if stop is None else stop.why)

    @property
    def reserve(self) -> str:
        """The run whose reserve pays; empty where the customer's own bucket does."""
        return self.run.id if self.run is not None and self.run.reserve else ""

    @property
    def input_tokens(self) -> int:
        """Prompt tokens over all attempts that may be charged."""
        return self.request.input_tokens_bound * self.request.attempts

    @property
    def choices(self) -> int:
        """Choices over all attempts that may be charged: the output bound counts for each."""
        return self.request.choices * self.request.attempts

    def _run_code(self) -> str | None:
        request, run = self.request, self.run
        if request.run_id is None:
            return None
        if run is None or run.holder != request.account_id:
            return "run_not_found"
        return None if run.key_id == request.key.key_id else "run_not_allowed"

    def _code(self) -> str | None:
        if not self.unit_prices:
            return "no_price"
        request = self.request
        # Without a cap of the client's own the hold function chooses one that fits: only a single token must.
        asked = 1 if request.max_output_tokens is None else request.max_output_tokens
        output_tokens = max(min(asked, request.model_max_output_tokens), 1) * self.choices
        if fits(self.unit_prices, input_tokens=self.input_tokens, output_tokens=output_tokens):
            return None
        self.needed_nano = min(amount_nano(self.unit_prices, self.input_tokens, output_tokens), INT64_MAX)
        return "insufficient_balance"


def covered_prices(request: HoldRequest, book: PriceBook) -> list[Prices | None]:
    """The price of each candidate that the first candidate's bucket pays for; None for every other."""
    bucket = book.buckets.get(request.candidates[0].route_type)
    return [
        book.prices.get((candidate.route_type, candidate.model)) if book.buckets.get(candidate.route_type) == bucket else None
        for candidate in request.candidates
    ]


def detail_of(request: HoldRequest, frozen_why: str | None) -> str:
    """What the hold's row keeps about its request, as JSON: with which alert froze it, where one did."""
    return orjson.dumps(
        {
            "key_name": request.key.key_name,
            "environment": request.environment,
            "tags": request.tags,
            "run_id": request.run_id,
            "candidates": [[each.channel, each.route_type, each.model] for each in request.candidates],
            "requested_model": request.requested_model,
            "client_api": request.client_api,
            **({} if frozen_why is None else {"frozen_why": frozen_why}),
        }
    ).decode()


def granted(request: HoldRequest, prices: list[Prices | None], row: dict[str, Any]) -> dict[str, Any]:
    """The answer `HoldGranted`. `row` has bucket, currency, amount_nano, price_version and output_cap of the hold."""
    return {
        "status": "held",
        "hold_id": str(request.hold_id),
        "bucket": row["bucket"],
        "currency": row["currency"],
        "amount_nano": row["amount_nano"],
        "price_version": row["price_version"],
        "output_cap": row["output_cap"],
        "covered": [price is not None for price in prices],
        "prices": [None if price is None else price.__dict__ for price in prices],
    }


def answer_again(request: HoldRequest, row: dict[str, Any], book: PriceBook) -> dict[str, Any]:
    """The answer that the hold's row stands for; `book` is the one that the row's version names."""
    if row["refusal"] is not None:
        return stored(row["refusal"], row["bucket"], row["currency"], row["frozen_why"]).as_result(str(request.hold_id))
    return granted(request, covered_prices(request, book), row)


def refused(order: HoldOrder, decision: dict[str, Any]) -> dict[str, Any]:
    """The answer `HoldRefusal` for a decision of the hold function: the facts of a :class:`Refusal` but for its bucket."""
    why = None if order.stop is None else order.stop.why
    refusal = Refusal(bucket=order.bucket or None, currency=order.currency or None, why=why, **decision)
    return refusal.as_result(str(order.request.hold_id))
