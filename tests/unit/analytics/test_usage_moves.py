"""From where to where requests moved: told of the mix only where that move is what made it dearer or cheaper."""

from collections.abc import Mapping

from services.analytics.usage_api.charges import Charges, Price, Route, Side, Tokens, sides
from services.analytics.usage_api.contributors import contributors, moved
from services.analytics.usage_api.effects import MIX, Comparison

NANO = {("direct", "a"): 1, ("pooled", "a"): 5, ("direct", "b"): 1, ("direct", "dear"): 100}
"""Route → what a request costs, in nano."""


def price_of(_: int, route: Route) -> Price | None:
    """The price of a token."""
    return Price("USD", Tokens(input=NANO[route] * 10**6))


def span(requests: Mapping[tuple[str, str], int]) -> Side:
    """So many requests of one token each, per route."""
    charges = [
        Charges(
            currency="USD",
            requested_model=route[1],
            served=Route(*route),
            planned=Route(*route),
            price_version=1,
            requests=count,
            tokens=Tokens(input=count),
            spent_nano=count * NANO[route],
        )
        for route, count in requests.items()
    ]
    return sides(charges, price_of)["USD"]


def moves(before: Mapping[tuple[str, str], int], after: Mapping[tuple[str, str], int]) -> tuple[int, str | None, str | None]:
    """The effect of the mix, and from where to where requests moved."""
    sides_of = span(before), span(after)
    comparison = Comparison(*sides_of)
    mix = comparison.effects()[MIX]
    (model, *_) = contributors(comparison, sides_of, {"key": {"k": sides_of}})[MIX]
    assert abs(model.change_nano) <= 10**9
    return (mix, *moved(comparison, *sides_of, mix))


def test_a_move_between_routes_of_a_model_is_told_although_shares_of_models_tremble() -> None:
    before = {("direct", "a"): 500, ("pooled", "a"): 1, ("direct", "b"): 499}
    after = {("direct", "a"): 10, ("pooled", "a"): 490, ("direct", "b"): 500}
    mix, lost, won = moves(before, after)
    assert mix > 0
    assert (lost, won) == ("direct a", "pooled a")


def test_a_move_to_a_cheaper_model_is_not_what_made_the_mix_dearer() -> None:
    before = {("pooled", "a"): 500, ("direct", "b"): 500}
    after = {("pooled", "a"): 100, ("direct", "b"): 800, ("direct", "dear"): 100}
    mix, lost, won = moves(before, after)
    assert mix > 0
    assert (lost, won) == (None, None)


def test_a_move_to_a_dearer_model_is_told_with_both_names() -> None:
    mix, lost, won = moves({("direct", "b"): 9, ("direct", "dear"): 1}, {("direct", "b"): 5, ("direct", "dear"): 5})
    assert (mix > 0, lost, won) == (True, "b", "dear")
