"""Each kind of change: how it is made, and how a request shows whether its instances obeyed."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from tests.oracle import Oracle, Tokens
from tests.reliability.propagation.load import Load, Seen
from tests.reliability.propagation.twins import FIRST, MODEL, SECOND, UPSTREAM, Customer, Twins, model_row, price_book

KINDS = ("account", "project", "key")
BUDGET: dict[str, Any] = {"currency": "USD", "window": "total"}
Shows = Callable[[Seen], bool]


class Made(NamedTuple):
    """A change that was made. `obeyed`: whether a request shows it, of those that can tell (`tells`).

    `refusal` is the status and code that it means, if any. `record` is the key of its control record and the version that says
    it; None where the ledger decides by itself.
    """

    obeyed: Shows
    refusal: tuple[int, str] | None
    record: tuple[str, int] | None
    tells: Shows = lambda _: True


class Changes:
    """Makes changes, alternating so that every one of them shows. They are told to the sides in turn."""

    def __init__(self, twins: Twins, customer: Customer, load: Load, directory: Path) -> None:
        self._twins = twins
        self._customer = customer
        self._load = load
        self._directory = directory
        self._count = itertools.count()
        self.oracles = {1: self._oracle(1, price_book("2.5", "10"))}
        self.orders: dict[int, tuple[str, ...]] = {1: (FIRST, SECOND)}
        freezes = {kind: (self._freezing(kind, frozen=True), self._freezing(kind, frozen=False)) for kind in KINDS}
        self.kinds: dict[str, tuple[Callable[[int], Made], ...]] = {
            **freezes,
            "channel": (self._channel(frozen=True), self._channel(frozen=False)),
            "price": (self._price, self._price),
            "route": (self._route(SECOND, FIRST), self._route(FIRST, SECOND)),
            "rotation": (self._rotate, self._rotate),
            "budget": (self._budget("0.000001"), self._budget(None)),
        }

    def cost(self, version: int, seen: Seen) -> Decimal:
        """What a request costs by a version of the prices, computed apart from Tollbook."""
        return (
            self.oracles[version]
            .charge("direct", UPSTREAM, Tokens(prompt=seen.prompt_tokens, output=seen.output_tokens))
            .amount
        )

    def _freezing(self, kind: str, *, frozen: bool) -> Callable[[int], Made]:
        entity = getattr(self._customer, f"{kind}_id")
        refusal = (403, f"{kind}_frozen")

        def make(side: int) -> Made:
            told = self._twins.admin("edge", "POST", f"/{kind}s/{entity}/{'freeze' if frozen else 'unfreeze'}", side)
            shows = _refused(refusal, refused=frozen)
            return Made(shows, refusal if frozen else None, (f"{kind}/{entity}", told["version"]))

        return make

    def _channel(self, *, frozen: bool) -> Callable[[int], Made]:
        def make(side: int) -> Made:
            path = f"/channels/{FIRST}/{'freeze' if frozen else 'unfreeze'}"
            told = self._twins.admin("router", "POST", path, side, json={"author": "prove", "reason": "to see it obeyed"})
            return Made(_answered_by(SECOND if frozen else FIRST), None, (f"channel/{FIRST}", told["version"]))

        return make

    def _price(self, side: int) -> Made:
        book = price_book(f"{3 + next(self._count)}.5", "10")
        version: int = self._twins.admin("settlement", "POST", "/price-books", side, content=book)["version"]
        self.oracles[version] = self._oracle(version, book)

        def shows(seen: Seen) -> bool:
            return Decimal(seen.cost) == self.cost(version, seen)

        return Made(shows, None, ("price/book", version), lambda seen: seen.status == 200)

    def _route(self, *order: str) -> Callable[[int], Made]:
        def make(side: int) -> Made:
            version = self._twins.admin("router", "PUT", f"/models/{MODEL}", side, json=model_row(*order))["version"]
            self.orders[version] = order
            return Made(_answered_by(order[0]), None, ("routes/table", version))

        return make

    def _rotate(self, side: int) -> Made:
        """The former secret ends at once. The clients go on with the new one, and one on each side sends the former."""
        former, path = self._load.token, f"/keys/{self._customer.key_id}/rotate"
        told = self._twins.admin("edge", "POST", path, side, json={"overlap": "0s"})
        self._load.token, self._load.former = told["api_key"], former

        def shows(seen: Seen) -> bool:
            return (seen.status == 401) == (seen.token == former)

        return Made(shows, (401, ""), (f"key/{self._customer.key_id}", told["version"]), lambda seen: seen.token == former)

    def _budget(self, limit: str | None) -> Callable[[int], Made]:
        refusal = (402, "budget_exceeded")

        def make(side: int) -> Made:
            who = {"account_id": self._customer.account_id, "kind": "key", "id": self._customer.key_id}
            self._twins.admin("settlement", "POST", "/limits", side, json={**who, **BUDGET, "limit": limit})
            return Made(_refused(refusal, refused=limit is not None), None if limit is None else refusal, None)

        return make

    def _oracle(self, version: int, book: str) -> Oracle:
        file = self._directory / f"prices-{version}.yaml"
        file.write_text(book, "utf-8")
        return Oracle(file)


def _refused(refusal: tuple[int, str], *, refused: bool) -> Shows:
    return lambda seen: ((seen.status, seen.code) == refusal) == refused


def _answered_by(channel: str) -> Shows:
    return lambda seen: seen.channel == channel
