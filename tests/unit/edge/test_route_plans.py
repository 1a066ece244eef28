"""A candidate of a dry run with the money for it: what its bucket cannot pay for is skipped, and the reason says what lacks."""

from typing import Any

import pytest

from services.edge.route_plans import with_funds

CANDIDATE = {"channel": "a", "route_type": "direct", "skipped": None, "why": "priority 0"}
ROUTE: dict[str, Any] = {
    "route_type": "direct", "bucket": "credit", "currency": "USD", "available": "0.01", "payable": "no", "largest_hold": "0.05",
    "items": [{}], "stops": {"kind": "bucket", "id": "credit", "window": None, "left_nano": 10_000_000},
}  # fmt: skip


@pytest.mark.parametrize("payable", ["yes", "perhaps"])
def test_what_can_be_paid_stays_as_it_is(payable: str) -> None:
    found = with_funds(CANDIDATE, {"direct": ROUTE | {"payable": payable}})
    assert (found["skipped"], found["why"], found["funds"]["available"]) == (None, "priority 0", "0.01")


def test_what_cannot_be_paid_is_skipped_and_names_the_envelope() -> None:
    found = with_funds(CANDIDATE, {"direct": ROUTE})
    assert found["skipped"] == "insufficient_funds"
    assert found["why"] == "priority 0; skipped: bucket credit leaves 0.01 USD, it needs 0.05"
    limit = {"kind": "key", "id": "k1", "window": "day", "left_nano": 0}
    assert "the day limit of key k1 leaves 0.00 USD" in with_funds(CANDIDATE, {"direct": ROUTE | {"stops": limit}})["why"]


def test_an_earlier_reason_stays() -> None:
    assert with_funds({**CANDIDATE, "skipped": "cooldown"}, {"direct": ROUTE})["skipped"] == "cooldown"


def test_a_route_without_price_or_bucket_says_so() -> None:
    assert "no price is published" in with_funds(CANDIDATE, {"direct": ROUTE | {"items": []}})["why"]
    assert "no bucket pays for direct routes" in with_funds(CANDIDATE, {})["why"]
