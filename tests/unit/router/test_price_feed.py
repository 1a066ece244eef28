"""The router's view of prices: the last book that could be read, and which bucket pays for what."""

from __future__ import annotations

from typing import Any, cast

import orjson
import pytest
from structlog.testing import capture_logs

from services.router.buckets import Buckets
from services.router.errors import LedgerUnavailableError
from services.router.ledger import Ledger
from services.router.price_feed import PriceFeed

ITEM = {
    "route_type": "direct",
    "model": "m",
    "currency": "USD",
    "prices": {"input": 4, "cached_input": 4, "cache_write": 4, "output": 10},
}


class Book:
    """Stands where settlement is asked for its book."""

    def __init__(self, *answers: Any) -> None:
        self._answers = list(answers)

    async def price_book(self) -> bytes:
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return orjson.dumps(answer)


def feed(*answers: Any) -> tuple[PriceFeed, Buckets]:
    buckets = Buckets()
    return PriceFeed(cast(Ledger, Book(*answers)), buckets), buckets


async def test_a_book_is_blended_and_tells_which_route_types_share_a_bucket() -> None:
    of_type = {"direct": "credit", "pooled": "wallet", "subscription": "wallet"}
    reader, buckets = feed({"version": 3, "buckets": of_type, "items": [ITEM]})
    assert not buckets.same("pooled", "subscription")
    await reader.refresh()
    assert (reader.view.version, reader.view.blended) == (3, {("direct", "m"): 3 * 4 + 10})
    assert buckets.same("pooled", "subscription")
    assert not buckets.same("direct", "pooled")
    assert reader.view.bucket_of("pooled") == "wallet"


async def test_a_book_of_an_older_settlement_has_no_buckets_and_each_route_type_stands_for_itself() -> None:
    reader, _ = feed({"version": 1, "items": [ITEM]})
    await reader.refresh()
    assert (reader.view.version, reader.view.bucket_of("pooled")) == (1, "pooled")


@pytest.mark.parametrize("broken", [LedgerUnavailableError("away"), {"version": "x"}, {"version": 2, "items": [{}]}, []])
async def test_what_cannot_be_read_changes_nothing_and_is_said_once(broken: Any) -> None:
    reader, _ = feed({"version": 1, "items": [ITEM]}, broken, broken, {"version": 2, "items": []}, broken)
    await reader.refresh()
    with capture_logs() as logs:
        await reader.refresh()
        await reader.refresh()
    assert (reader.view.version, [entry["event"] for entry in logs]) == (1, ["price_book_not_read"])
    await reader.refresh()
    assert (reader.view.version, reader.view.blended) == (2, {})
    with capture_logs() as logs:
        await reader.refresh()
    assert len(logs) == 1


async def test_a_book_with_a_date_takes_over_at_its_instant_without_another_answer() -> None:
    now = [100.0]
    later = {"version": 2, "items": [], "starts_in_ms": 1500}
    latest = {"version": 4, "items": [ITEM], "starts_in_ms": 60_000}
    answer = {"version": 1, "items": [ITEM], "next": [later, latest]}
    reader = PriceFeed(cast(Ledger, Book(answer)), Buckets(), lambda: now[0])
    await reader.refresh()
    assert (reader.view.version, reader.advance()) == (1, 1.5)
    now[0] = 101.499
    assert (reader.advance() > 0, reader.view.version) == (True, 1)
    now[0] = 101.5
    assert (reader.advance(), reader.view.version) == (5.0, 2)
    now[0] = 160.0
    reader.advance()
    assert (reader.view.version, len(reader.view.items)) == (4, 1)


async def test_a_book_that_began_while_the_answer_was_written_is_taken_at_once_and_a_withdrawn_one_never() -> None:
    began = {"version": 2, "items": [], "starts_in_ms": 0}
    taken_back = {"version": 3, "items": [], "starts_in_ms": 1000}
    reader, _ = feed({"version": 1, "items": [], "next": [began, taken_back]}, {"version": 2, "items": [], "next": []})
    await reader.refresh()
    assert reader.view.version == 2
    await reader.refresh()
    assert reader.advance() == 5.0
