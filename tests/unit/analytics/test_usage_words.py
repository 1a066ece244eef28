"""How a change of cost is told: amounts that a person reads, the direction of each effect, and who gave most to it."""

from dataclasses import replace

import pytest

from services.analytics.usage_api.charges import Sums
from services.analytics.usage_api.contributors import Contributor
from services.analytics.usage_api.effects import CACHE, FALLBACK, MIX, PRICE, PROMPT_SIZE, RETRY, ROUNDING, VOLUME
from services.analytics.usage_api.explain_words import Told, money, sentence, summary, worth_telling

UNIT = 10**9
BEFORE = Sums(requests=1000, tokens=[1_000_000, 240_000, 0, 100_000])
AFTER = Sums(requests=1240, tokens=[1_800_000, 196_400, 0, 124_000])


def told(effects: dict[str, int], before_nano: int = 40 * UNIT) -> Told:
    """What is told of effects that add up to the change."""
    return Told(
        currency="USD",
        before=BEFORE,
        after=AFTER,
        cost_nano=(before_nano, before_nano + sum(effects.values())),
        effects=effects,
        moved=("small", "large"),
        names={"key1": "bot"},
    )


@pytest.mark.parametrize(
    ("nano", "text"),
    [(12_400_000_000, "12.40"), (1_234_567_890_000, "1,234.57"), (63_320_000, "0.063"), (1, "0.0000000010"), (0, "0.00")],
)
def test_an_amount_is_told_in_cents_or_in_two_digits(nano: int, text: str) -> None:
    assert money(nano) == text


def test_the_summary_names_the_change_and_its_effects_the_largest_first() -> None:
    said = summary(told({PROMPT_SIZE: 2_200_000_000, VOLUME: 9_100_000_000, PRICE: 1_100_000_000}))
    assert said == (
        "Cost rose by 12.40 USD (31%), from 40.00 to 52.40: 9.10 more from 24% more requests (1,000 → 1,240),"
        " 2.20 more from longer prompts (mean 1,240 → 1,610 tokens), 1.10 more from higher prices of the same models."
    )


def test_a_mean_that_went_the_other_way_is_not_shown() -> None:
    assert "shorter prompts, model by model" in summary(told({PROMPT_SIZE: -UNIT}))
    assert summary(told({PROMPT_SIZE: -UNIT})).startswith("Cost fell by 1.00 USD (2.5%), from 40.00 to 39.00")


def test_effects_that_cancel_are_told_although_nothing_changed() -> None:
    said = summary(told({VOLUME: UNIT, PRICE: -UNIT}))
    assert said.startswith("Cost is what it was: 40.00 USD: 1.00 more from")
    assert summary(told({VOLUME: 0})) == "Cost is what it was: 40.00 USD."


def test_small_effects_are_left_to_the_figures() -> None:
    assert worth_telling({VOLUME: 1000, PRICE: -10, MIX: 9, ROUNDING: 1}) == [(VOLUME, 1000), (PRICE, -10)]


def test_who_gave_more_than_half_is_named_a_key_before_a_model() -> None:
    effects = {MIX: 14 * UNIT}
    most = [
        Contributor(by="model", id="large", change_nano=13 * UNIT),
        Contributor(by="key", id="key1", change_nano=12 * UNIT, moved_from="small", moved_to="large"),
        Contributor(by="key", id="key2", change_nano=2 * UNIT),
    ]
    said = sentence(told(effects), MIX, 14 * UNIT, most)
    assert said == (
        "14.00 USD more from a dearer mix of models and routes, most of all from small to large."
        " 12.00 of it come from key bot (key1) moving from small to large."
    )
    assert "of it come from" not in sentence(told(effects), MIX, 14 * UNIT, most[2:])


def test_one_who_gave_more_than_all_of_it_is_no_part_of_it() -> None:
    most = [Contributor(by="key", id="key1", change_nano=3 * UNIT)]
    assert "of it come from" not in sentence(told({MIX: UNIT}), MIX, UNIT, most)


def test_what_roundings_cannot_explain_is_called_by_its_name() -> None:
    assert "do not account for" in sentence(told({ROUNDING: UNIT}), ROUNDING, UNIT, ())
    assert "rounding" in sentence(told({ROUNDING: 3}), ROUNDING, 3, ())


def test_a_cache_that_is_dearer_by_what_is_written_is_not_called_less_read() -> None:
    of = told({CACHE: UNIT})
    written = replace(of, before=Sums(requests=10, tokens=[100, 0, 0, 0]), after=Sums(requests=10, tokens=[30, 20, 50, 0]))
    assert "dearer use of the providers' prompt caches (0% → 50% of prompt tokens written to them)." in sentence(
        written, CACHE, UNIT, ()
    )
    cheaper = sentence(replace(written, effects={CACHE: -UNIT}), CACHE, -UNIT, ())
    assert "cheaper use of the providers' prompt caches (0% → 20% of prompt tokens read from them)." in cheaper
    against = replace(written, after=Sums(requests=10, tokens=[80, 20, 0, 0]))
    assert "dearer use of the providers' prompt caches, model by model." in sentence(against, CACHE, UNIT, ())


def test_fallbacks_are_told_with_the_requests_that_they_are_part_of() -> None:
    fewer = replace(
        told({FALLBACK: -UNIT}), before=Sums(requests=100, fallen_back=10), after=Sums(requests=200, fallen_back=15)
    )
    said = sentence(fewer, FALLBACK, -UNIT, ())
    assert "fewer to dearer ones (10 → 15 requests answered by another model or route than planned, of 100 → 200)." in said


def test_a_fallback_into_another_currency_is_not_called_cheap_where_it_was_planned() -> None:
    crossed = replace(told({FALLBACK: -UNIT}), after=Sums(requests=1240, fallen_back=4, crossed=4))
    said = sentence(crossed, FALLBACK, -UNIT, ())
    assert said.startswith("1.00 USD less from fallbacks charged in another currency than planned (0 → 4 requests answered")


def test_retries_are_told_per_request_where_they_are_measured_so() -> None:
    assert "less charged per request for failed attempts" in sentence(told({RETRY: -UNIT}), RETRY, -UNIT, ())
    none_before = replace(told({RETRY: UNIT}), before=Sums())
    assert "more charged for failed attempts" in sentence(none_before, RETRY, UNIT, ())
