"""What a planned job would cost, by hand."""

from typing import Any

import pytest

from schemas.runs import EstimateAsk
from services.settlement.errors import InvalidError
from services.settlement.estimates import Means, estimate
from services.settlement.runs import LimitLeft
from tests.integration.settlement.requests_made import KEY
from tests.unit.settlement.test_settling import BOOK

LOW, HIGH = 200 * (1000 * 2_500 + 100 * 10_000), 200 * (2000 * 2_500 + 400 * 10_000)
"""200 requests of gpt-4o at 2.50 and 10 USD per million tokens, in nano."""


def job(**fields: Any) -> EstimateAsk:
    """200 requests of gpt-4o on direct routes."""
    item = {
        "model": "gpt-4o",
        "requests": 200,
        "input_tokens": {"low": 1000, "high": 2000},
        "output_tokens": {"low": 100, "high": 400},
        "candidates": [{"route_type": "direct", "model": "gpt-4o"}],
        **fields,
    }
    return EstimateAsk.model_validate({"key": KEY.model_dump(), "items": [item]})


def on_direct(means: Means, **fields: Any) -> dict[str, Any]:
    """The direct route's part of the estimate."""
    found = estimate(job(**fields), BOOK, {"credit": means})
    return next(each for each in found["routes"] if each["route_type"] == "direct")


@pytest.mark.parametrize(
    ("free", "verdict"), [(HIGH, "yes"), (HIGH - 1, "perhaps"), (LOW, "perhaps"), (LOW - 1, "no"), (0, "no")]
)
def test_low_and_high_are_compared_with_what_is_available(free: int, verdict: str) -> None:
    route = on_direct(Means(free, ()))
    assert (route["low_nano"], route["high_nano"], route["payable"]) == (LOW, HIGH, verdict)
    stops = None if verdict == "yes" else {"kind": "bucket", "id": "credit", "window": None, "left_nano": free}
    assert route["stops"] == stops


def test_the_tightest_limit_is_named() -> None:
    limits = (LimitLeft("key", "k", "USD", "day", LOW), LimitLeft("account", "a", "USD", "total", HIGH))
    route = on_direct(
        Means(10**15, (*limits, LimitLeft("key", "k", "CNY", "day", 0), LimitLeft("bucket", "x", "USD", "day", 0)))
    )
    assert (route["payable"], route["available_nano"]) == ("perhaps", LOW)
    assert route["stops"] == {"kind": "key", "id": "k", "window": "day", "left_nano": LOW}


def test_low_takes_the_cheapest_candidate_and_its_cache_and_high_the_dearest_without() -> None:
    places = [{"route_type": "direct", "model": "gpt-4o"}, {"route_type": "direct", "model": "gpt-4o"}]
    route = on_direct(Means(10**15, ()), candidates=places, cached_share=0.5)
    cached = BOOK.prices["direct", "gpt-4o"].cached_input // 10**6
    assert route["low_nano"] == 200 * (500 * 2_500 + 500 * cached + 100 * 10_000)
    assert route["high_nano"] == HIGH
    assert route["items"][0]["answered_by"] == ["gpt-4o"]


def test_each_route_type_has_its_own_bucket_and_a_model_without_a_price_is_said() -> None:
    places = [{"route_type": "direct", "model": "none"}, {"route_type": "pooled", "model": "gpt-4o"}]
    found = estimate(job(candidates=places), BOOK, {"wallet": Means(10**15, ())})
    direct, pooled = found["routes"]
    assert (direct["payable"], direct["unpriced"], direct["items"]) == ("no", ["gpt-4o"], [])
    assert (pooled["bucket"], pooled["currency"], pooled["payable"]) == ("wallet", "CNY", "yes")
    assert "no price is published for gpt-4o" in found["explanation"][0]
    assert "it can be paid" in found["explanation"][1]


def test_a_job_beyond_what_any_balance_can_be_is_refused_by_the_name_of_its_items() -> None:
    with pytest.raises(InvalidError, match="more than any balance can be") as refused:
        on_direct(Means(10**15, ()), requests=10**9, input_tokens={"low": 1, "high": 10**9})
    assert refused.value.param == "items"
