"""Exchange rates: exact decimals, the rate of a day, and nobody who moves money reads one."""

from datetime import date, timedelta
from fractions import Fraction
from pathlib import Path

import grimp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from services.settlement.fx import LATEST_DAYS, Rate, RateLine, Rates, rounded

DAY = date(2026, 3, 14)
REPORTS = {f"services.settlement.{name}" for name in ("fx", "fx_store", "margin", "margin_store", "report_api")}
SQL = Path(__file__).parents[3] / "services" / "settlement" / "sql"


def line(rate: str, **fields: str) -> RateLine:
    return RateLine.model_validate({"from": "USD", "to": "CNY", "date": "2026-03-14", "rate": rate, "source": "bank"} | fields)


def rates(*given: tuple[str, str, int, str]) -> Rates:
    """(from, to, days before `DAY`, rate)."""
    return Rates(Rate(one, other, DAY - timedelta(days=back), rate, "bank") for one, other, back, rate in given)


@pytest.mark.parametrize(
    ("written", "kept"), [("7.10", "7.1"), ("007", "7"), ("0.000061234567", "0.000061234567"), ("7.000", "7")]
)
def test_a_rate_is_kept_as_the_decimal_that_it_is(written: str, kept: str) -> None:
    assert line(written).rate == kept


@pytest.mark.parametrize(
    "written",
    [
        "0.000000000000000001",
        "0.0000000009",
        "1000000000.1",
        "0",
        "0.00",
        "-1",
        "+1",
        "1e3",
        ".5",
        "7,1",
        "NaN",
        "1" * 13,
        "0." + "1" * 19,
        "\u0667",
        " 7",
        "",
    ],
)
def test_what_is_no_exact_positive_rate_is_refused(written: str) -> None:
    with pytest.raises(ValidationError):
        line(written)


@pytest.mark.parametrize("fields", [{"to": "USD"}, {"date": "1999-12-31"}, {"date": "soon"}, {"source": ""}, {"colour": "red"}])
def test_a_line_that_says_nothing_sensible_is_refused(fields: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        line("7", **fields)


def test_a_day_takes_its_own_rate_or_the_last_one_before_it_for_a_week() -> None:
    known = rates(("USD", "CNY", 0, "7"), ("USD", "CNY", 3, "8"))
    factors = {
        back: known.on("USD", "CNY", DAY - timedelta(days=back)) for back in (-LATEST_DAYS - 1, -LATEST_DAYS, -1, 0, 1, 2, 3, 4)
    }
    assert {back: None if used is None else used.factor for back, used in factors.items()} == {
        -LATEST_DAYS - 1: None, -LATEST_DAYS: 7, -1: 7, 0: 7, 1: 8, 2: 8, 3: 8, 4: None,
    }  # fmt: skip


def test_a_rate_the_other_way_round_is_divided_by_exactly_and_gives_way_to_one_that_is_given() -> None:
    used = rates(("CNY", "USD", 0, "3")).on("USD", "CNY", DAY)
    assert used is not None
    assert (used.factor, used.inverted) == (Fraction(1, 3), True)
    both = rates(("CNY", "USD", 0, "3"), ("USD", "CNY", 0, "0.5")).on("USD", "CNY", DAY)
    assert both is not None
    assert (both.factor, both.inverted) == (Fraction(1, 2), False)
    newer = rates(("CNY", "USD", 0, "4"), ("USD", "CNY", 1, "0.5")).on("USD", "CNY", DAY)
    assert newer is not None
    assert newer.factor == Fraction(1, 4)


def test_nothing_is_converted_by_way_of_a_third_currency_and_a_currency_is_worth_itself() -> None:
    known = rates(("USD", "EUR", 0, "2"), ("EUR", "CNY", 0, "3"))
    assert known.on("USD", "CNY", DAY) is None
    same = known.on("USD", "USD", DAY)
    assert same is not None
    assert same.factor == 1


@given(st.integers(-(10**30), 10**30), st.integers(1, 10**18))
def test_the_one_rounding_is_half_to_even_on_both_sides_of_zero(numerator: int, denominator: int) -> None:
    exact = Fraction(numerator, denominator)
    found = rounded(exact)
    assert abs(exact - found) <= Fraction(1, 2)
    if abs(exact - found) == Fraction(1, 2):
        assert found % 2 == 0
    assert rounded(-exact) == -found


def test_nothing_that_holds_or_posts_money_can_reach_an_exchange_rate() -> None:
    graph = grimp.build_graph("services", cache_dir=None)
    settlement = {module for module in graph.modules if module.startswith("services.settlement")}
    assert settlement >= REPORTS
    importers = {each for report in REPORTS for each in graph.find_downstream_modules(report)} - REPORTS
    # The API's composition root mounts the reports beside everything else, and is run by its entry point.
    assert importers == {"services.settlement.app", "services.settlement.__main__"}
    for root in ("worker", "internal_api", "hold_store", "settle_store", "sweeper", "money_api", "run_api", "audit.rebuild"):
        assert not REPORTS & graph.find_upstream_modules(f"services.settlement.{root}")


def test_only_the_reports_own_statements_read_exchange_rates() -> None:
    naming = {path.name for path in SQL.glob("*.sql") if "fx_rate" in path.read_text("utf-8")}
    assert naming == {"fx.sql", "schema.sql"}
    functions = (SQL / "schema.sql").read_text("utf-8").split("$$")[1::2]
    assert [body for body in functions if "fx_rate" in body] == []
