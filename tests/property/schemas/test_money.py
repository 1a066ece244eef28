"""Properties of integer money, against Decimal arithmetic with room enough to be exact."""

from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Context, Decimal

from hypothesis import given
from hypothesis import strategies as st

from schemas.money import INT64_MAX, Prices, Usage, charge_nano, divide_half_even, format_amount, hold_nano, parse_amount

EXACT = Context(prec=80)
MILLION = Decimal(1_000_000)
price = st.integers(0, 10**15)
tokens = st.integers(0, 10**9)
amounts = st.integers(0, INT64_MAX)
prices = st.builds(Prices, input=price, cached_input=price, cache_write=price, output=price)
usages = st.builds(Usage, input_tokens=tokens, cached_input_tokens=tokens, cache_write_tokens=tokens, output_tokens=tokens)


def exact_charge(book: Prices, usage: Usage) -> Decimal:
    """The charge in nano before any rounding."""
    pairs = [
        (usage.input_tokens, book.input),
        (usage.cached_input_tokens, book.cached_input),
        (usage.cache_write_tokens, book.cache_write),
        (usage.output_tokens, book.output),
    ]
    total = sum((EXACT.multiply(Decimal(count), Decimal(each)) for count, each in pairs), Decimal(0))
    return EXACT.divide(total, MILLION)


@given(prices, usages)
def test_a_charge_is_the_exact_sum_rounded_once_half_to_even(book: Prices, usage: Usage) -> None:
    assert charge_nano(book, usage) == int(exact_charge(book, usage).to_integral_value(ROUND_HALF_EVEN, EXACT))


@given(prices, usages)
def test_a_charge_is_at_most_half_a_nano_from_the_truth(book: Prices, usage: Usage) -> None:
    assert abs(EXACT.subtract(Decimal(charge_nano(book, usage)), exact_charge(book, usage))) <= Decimal("0.5")


@given(prices, tokens, tokens)
def test_a_hold_is_the_exact_bound_rounded_up(book: Prices, prompt: int, output: int) -> None:
    bound = prompt * max(book.input, book.cached_input, book.cache_write) + output * book.output
    exact = EXACT.divide(Decimal(bound), MILLION)
    assert hold_nano(book, prompt, output) == int(exact.to_integral_value(ROUND_CEILING, EXACT))


@given(prices, usages, tokens, tokens)
def test_a_hold_covers_every_capture_within_its_bounds(book: Prices, usage: Usage, more_prompt: int, more_output: int) -> None:
    prompt = usage.input_tokens + usage.cached_input_tokens + usage.cache_write_tokens + more_prompt
    assert hold_nano(book, prompt, usage.output_tokens + more_output) >= charge_nano(book, usage)


@given(prices, usages)
def test_reasoning_tokens_are_a_part_of_output_and_cost_nothing_twice(book: Prices, usage: Usage) -> None:
    reasoned = usage.model_copy(update={"reasoning_tokens": usage.output_tokens})
    assert charge_nano(book, reasoned) == charge_nano(book, usage)
    assert reasoned.total_tokens == usage.total_tokens


@given(amounts)
def test_an_amount_survives_being_written_and_read(nano: int) -> None:
    assert parse_amount(format_amount(nano)) == nano


@given(st.integers(-INT64_MAX, INT64_MAX))
def test_a_written_amount_is_the_decimal_value(nano: int) -> None:
    text = format_amount(nano)
    assert EXACT.scaleb(Decimal(text), 9) == nano
    assert len(text.partition(".")[2]) >= 2


@given(st.decimals(min_value=0, max_value=Decimal("9223372036.854775807"), places=9, allow_nan=False, allow_infinity=False))
def test_an_amount_is_read_as_decimal_reads_it(value: Decimal) -> None:
    assert parse_amount(f"{value:f}") == int(EXACT.scaleb(value, 9))


@given(st.integers(0, 10**40), st.integers(1, 10**20))
def test_division_rounds_as_decimal_does(numerator: int, denominator: int) -> None:
    wide = Context(prec=120)
    exact = wide.divide(Decimal(numerator), Decimal(denominator))
    twice, remainder = divmod(2 * numerator, denominator)
    if remainder:  # no tie: 120 digits are enough to see on which side it lies
        assert divide_half_even(numerator, denominator) == int(exact.to_integral_value(ROUND_HALF_EVEN, wide))
    else:
        assert divide_half_even(numerator, denominator) == twice // 2 + (twice % 2) * ((twice // 2) % 2)
