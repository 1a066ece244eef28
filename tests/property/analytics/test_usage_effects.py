"""The effects that a cost's change is split into: they add up, each tells of its own factor alone, and swapping turns them."""

from collections.abc import Iterable
from dataclasses import replace

from hypothesis import assume, given
from hypothesis import strategies as st

from schemas.money import divide_half_even
from services.analytics.usage_api.charges import MICRO, Charges, Price, Route, Side, Tokens, sides
from services.analytics.usage_api.effects import (
    CACHE,
    EFFECTS,
    FALLBACK,
    MIX,
    OUTPUT_SIZE,
    PRICE,
    PROMPT_SIZE,
    RETRY,
    ROUNDING,
    UNPRICED,
    VOLUME,
    Comparison,
)

ROUTES = [Route(kind, model) for kind in ("direct", "pooled") for model in ("large", "small", "odd")]
CURRENCIES = {"direct": "USD", "pooled": "CNY"}
PRICES = {
    version: {
        route: Tokens(*(base * factor * (number + 1) for factor in (1_000_000, 100_000, 1_250_000, 4_000_000)))
        for number, route in enumerate(ROUTES)
    }
    for version, base in ((1, 2500), (2, 3125))
}
UNKNOWN = 9
"""A version of which no price is known."""


def price_of(version: int, route: Route) -> Price | None:
    """The price of a route in a version."""
    nano = PRICES.get(version, {}).get(route)
    return None if nano is None else Price(CURRENCIES[route.route_type], nano)


def charged(
    tokens: Tokens, served: Route, planned: Route | None = None, *, requests: int = 1, version: int = 1, beside_nano: int = 0
) -> Charges:
    """Requests that used so much in all, as the ledger would charge one of that size."""
    nano = PRICES.get(version, PRICES[1])[served]
    spent = divide_half_even(sum(count * each for count, each in zip(tokens, nano, strict=True)), MICRO)
    return Charges(
        currency=CURRENCIES[served.route_type],
        requested_model=(planned or served).model,
        served=served,
        planned=planned or served,
        price_version=version,
        requests=requests,
        tokens=tokens,
        spent_nano=spent + beside_nano,
        beside_nano=beside_nano,
    )


counts = st.integers(0, 5000)
sizes = st.builds(Tokens, counts, counts, counts, counts)
routes = st.sampled_from(ROUTES)
one_charge = st.builds(
    charged,
    sizes,
    routes,
    st.one_of(st.none(), routes),
    requests=st.integers(1, 50),
    version=st.sampled_from((1, 2, UNKNOWN)),
    beside_nano=st.sampled_from((0, 0, 12_345)),
)
lost = st.builds(Charges, currency=st.just("USD"), spent_nano=st.integers(0, 10**9), lost=st.just(True))
spans = st.lists(st.one_of(one_charge, one_charge, one_charge, lost), max_size=8)
plain_spans = st.lists(st.builds(charged, sizes, routes, requests=st.integers(1, 50)), min_size=1, max_size=6)


def compared(before: Iterable[Charges], after: Iterable[Charges]) -> dict[str, Comparison]:
    """Currency → the comparison."""
    old, new = sides(before, price_of), sides(after, price_of)
    return {each: Comparison(old.get(each, Side()), new.get(each, Side())) for each in sorted({*old, *new})}


def effects(before: Iterable[Charges], after: Iterable[Charges]) -> dict[str, dict[str, int]]:
    """Currency → effect → nano, without those that are nothing."""
    found = {currency: each.effects() for currency, each in compared(before, after).items()}
    return {currency: {name: nano for name, nano in each.items() if nano} for currency, each in found.items()}


def cost(span: Iterable[Charges], currency: str) -> int:
    """What a span cost."""
    return sum(each.spent_nano for each in span if each.currency == currency)


@given(spans, spans)
def test_the_effects_add_up_to_the_change_and_only_roundings_are_left(before: list[Charges], after: list[Charges]) -> None:
    for currency, each in compared(before, after).items():
        found = each.effects()
        assert each.change_nano == cost(after, currency) - cost(before, currency)
        assert sum(found.values()) == each.change_nano
        groups = len(before) + len(after)
        requests = sum(one.requests for one in (*before, *after))
        assert abs(found[ROUNDING]) <= groups * len(EFFECTS) + requests


@given(spans)
def test_equal_spans_have_no_effects(span: list[Charges]) -> None:
    assert all(each == {} for each in effects(span, list(reversed(span))).values())


@given(spans, spans)
def test_swapping_the_spans_turns_every_effect(before: list[Charges], after: list[Charges]) -> None:
    turned = {currency: {name: -nano for name, nano in each.items()} for currency, each in effects(after, before).items()}
    assert effects(before, after) == turned


@given(spans, st.integers(2, 4))
def test_more_of_the_same_is_volume_alone(span: list[Charges], times: int) -> None:
    for currency, found in effects(span, span * times).items():
        if any(not each.lost and price_currency(each) == currency for each in span):
            assert found.keys() <= {VOLUME, ROUNDING}
            assert abs(found.get(ROUNDING, 0)) <= len(span)


def price_currency(each: Charges) -> str:
    """The currency that a charge was planned in, as far as prices are known."""
    planned = price_of(each.price_version, each.planned or each.served)
    return each.currency if planned is None else planned.currency


@given(plain_spans, st.integers(1, 2000))
def test_longer_answers_are_output_size_alone(span: list[Charges], more: int) -> None:
    longer = [again(each, output=each.tokens.output + more * each.requests) for each in span]
    for found in effects(span, longer).values():
        assert found.keys() <= {OUTPUT_SIZE, ROUNDING}
        assert found[OUTPUT_SIZE] > 0


@given(plain_spans, st.integers(2, 5))
def test_longer_prompts_are_prompt_size_alone(span: list[Charges], times: int) -> None:
    prompts = ("input", "cached_input", "cache_write")
    longer = [again(each, **{name: getattr(each.tokens, name) * times for name in prompts}) for each in span]
    for found in effects(span, longer).values():
        assert found.keys() <= {PROMPT_SIZE, ROUNDING}


@given(plain_spans, st.fractions(0, 1))
def test_a_smaller_share_of_cached_tokens_is_cache_alone(span: list[Charges], share: float) -> None:
    moved = [int(each.tokens.cached_input * share) for each in span]
    fresh = [
        again(each, input=each.tokens.input + count, cached_input=each.tokens.cached_input - count)
        for each, count in zip(span, moved, strict=True)
    ]
    for found in effects(span, fresh).values():
        assert found.keys() <= {CACHE, ROUNDING}
        assert found.get(CACHE, 0) >= 0


@given(plain_spans)
def test_another_price_version_is_price_alone(span: list[Charges]) -> None:
    dearer = [charged(each.tokens, each.served, requests=each.requests, version=2) for each in span]
    for currency, found in effects(span, dearer).items():
        assert found.keys() <= {PRICE, ROUNDING}
        assert found.get(PRICE, 0) >= cost(span, currency) // 4 - len(span) * 4


@given(plain_spans)
def test_the_same_requests_to_another_model_are_mix_alone(span: list[Charges]) -> None:
    odd = [charged(each.tokens, Route(each.served.route_type, "odd"), requests=each.requests) for each in span]
    assume(not any(each.served.model == "odd" for each in span))
    for found in effects(span, odd).values():
        assert found.keys() <= {MIX, ROUNDING}


@given(plain_spans, plain_spans)
def test_new_and_vanished_models_are_volume_and_mix(before: list[Charges], after: list[Charges]) -> None:
    old = [replace(each, requested_model=f"old {each.requested_model}") for each in before]
    for found in effects(old, after).values():
        assert found.keys() <= {VOLUME, MIX, ROUNDING}


@given(plain_spans)
def test_what_a_fallback_added_is_fallback_alone(span: list[Charges]) -> None:
    assume(all(each.served.model != "odd" for each in span))
    fallen = [
        replace(
            charged(each.tokens, Route(each.served.route_type, "odd"), each.served, requests=each.requests),
            requested_model=each.requested_model,
        )
        for each in span
    ]
    for currency, found in effects(span, fallen).items():
        assert found.keys() <= {FALLBACK, ROUNDING}
        assert abs(found.get(FALLBACK, 0) - (cost(fallen, currency) - cost(span, currency))) <= 2 * len(span)


@given(plain_spans, st.integers(1, 10**6), st.integers(0, 10**6))
def test_attempts_that_are_charged_beside_and_lost_requests_are_retry_alone(
    span: list[Charges], beside: int, expired: int
) -> None:
    more = [replace(each, spent_nano=each.spent_nano + beside, beside_nano=beside) for each in span]
    gone = [Charges(currency=each.currency, spent_nano=expired, lost=True) for each in span]
    for currency, found in effects(span, [*more, *gone]).items():
        own = sum(1 for each in span if each.currency == currency)
        assert found.keys() <= {RETRY, ROUNDING}
        assert abs(found[RETRY] - own * (beside + expired)) <= 2 * len(span)


@given(plain_spans)
def test_a_fallback_into_another_currency_is_told_in_both(span: list[Charges]) -> None:
    direct = [each for each in span if each.served.route_type == "direct"]
    assume(direct)
    crossed = [
        replace(
            charged(each.tokens, Route("pooled", each.served.model), each.served, requests=each.requests),
            requested_model=each.requested_model,
        )
        for each in direct
    ]
    found = effects(direct, crossed)
    assert set(found.get("USD", {})) <= {FALLBACK, ROUNDING}
    assert set(found.get("CNY", {})) <= {FALLBACK, ROUNDING}
    assert sum(found.get("USD", {}).values()) == -cost(direct, "USD")
    assert sum(found.get("CNY", {}).values()) == cost(crossed, "CNY")


@given(plain_spans, plain_spans)
def test_where_a_price_is_missing_sizes_and_prices_are_one_effect(before: list[Charges], after: list[Charges]) -> None:
    unknown = [replace(each, price_version=UNKNOWN) for each in after]
    for currency, each in compared(before, unknown).items():
        found = {name for name, nano in each.effects().items() if nano}
        assert found <= {VOLUME, MIX, UNPRICED, ROUNDING}, currency


@given(spans, spans)
def test_the_parts_of_some_charges_and_of_the_others_come_to_the_whole(before: list[Charges], after: list[Charges]) -> None:
    for currency, whole in compared(before, after).items():
        sums = dict.fromkeys(EFFECTS, 0)
        for odd in (0, 1):
            parts = [sides(span[odd::2], price_of).get(currency, Side()) for span in (before, after)]
            for cell in whole.by_cell(parts[0].cells, parts[1].cells).values():
                for name, nano in cell.items():
                    sums[name] += nano
        found = whole.effects()
        assert all(abs(sums[name] - found[name]) <= 2 * (len(before) + len(after)) for name in EFFECTS)


def again(each: Charges, **tokens: int) -> Charges:
    """The same requests with other tokens."""
    return charged(each.tokens._replace(**tokens), each.served, requests=each.requests, version=each.price_version)
