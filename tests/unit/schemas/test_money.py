"""Money by examples whose results were worked out by hand."""

import pytest

from schemas.money import AmountError, Prices, Usage, charge_nano, divide_half_even, format_amount, hold_nano, parse_amount


def test_a_charge_is_the_sum_over_token_classes() -> None:
    prices = Prices.parse("2.5", "10", cached_input="1.25")
    usage = Usage(input_tokens=246, cached_input_tokens=128, output_tokens=44, reasoning_tokens=16)
    assert charge_nano(prices, usage) == 1_215_000  # 246 at 2.50/M, 128 at 1.25/M, 44 at 10/M


def test_a_missing_cached_price_is_the_input_price() -> None:
    prices = Prices.parse("3", "15")
    assert (prices.cached_input, prices.cache_write) == (prices.input, prices.input)


def test_a_charge_rounds_once_over_the_sum_and_not_per_class() -> None:
    prices = Prices(input=500_000, cached_input=500_000, cache_write=0, output=0)
    assert charge_nano(prices, Usage(input_tokens=1, cached_input_tokens=1)) == 1  # 0.5 + 0.5; each alone would round to 0


@pytest.mark.parametrize(("numerator", "expected"), [(0, 0), (1, 0), (2, 1), (3, 2), (5, 2), (6, 3), (7, 4), (10, 5), (14, 7)])
def test_a_half_goes_to_the_even_neighbour(numerator: int, expected: int) -> None:
    # over 2: 0.5 → 0, 1.5 → 2, 2.5 → 2, 3.5 → 4
    assert divide_half_even(numerator, 2) == expected


def test_a_hold_rounds_up_and_assumes_the_dearest_prompt_price() -> None:
    prices = Prices(input=1, cached_input=0, cache_write=3, output=0)
    assert hold_nano(prices, 1, 0) == 1
    assert hold_nano(prices, 1_000_000, 0) == 3


@pytest.mark.parametrize("text", ["1_0", " 1", "1 ", "1\n", "\u0661", "\uff11", "+1", ".5", "5."])
def test_only_ascii_digits_and_one_point_are_an_amount(text: str) -> None:
    with pytest.raises(AmountError, match="write a plain decimal"):
        parse_amount(text)


@pytest.mark.parametrize(
    "text", ["", "x", "-1", "-0", "NaN", "Infinity", "1e99", "0.0000000001", "9223372036.854775808", "1,5", "1 000", "sNaN"]
)
def test_a_text_that_is_no_exact_amount_is_refused(text: str) -> None:
    with pytest.raises(AmountError):
        parse_amount(text)


@pytest.mark.parametrize(
    ("text", "nano"),
    [("0", 0), ("12.50", 12_500_000_000), ("0.000000001", 1), ("1e3", 1_000_000_000_000), ("9223372036.854775807", 2**63 - 1)],
)
def test_a_text_becomes_nano(text: str, nano: int) -> None:
    assert parse_amount(text) == nano


@pytest.mark.parametrize(
    ("nano", "text"), [(0, "0.00"), (1, "0.000000001"), (1_500_000_000, "1.50"), (-1_234_500_000, "-1.2345"), (10**9, "1.00")]
)
def test_nano_becomes_a_text_with_at_least_two_places(nano: int, text: str) -> None:
    assert format_amount(nano) == text
