"""Margins: exact until each figure is rounded once, and everything that is shown adds up."""

from datetime import date
from decimal import Decimal, localcontext
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from services.settlement.fx import Rate, Rates
from services.settlement.margin import Money, percent, report

FIRST, SECOND = date(2026, 3, 14), date(2026, 3, 15)
UNIT = 10**9
RATES = Rates([Rate("CNY", "USD", FIRST, "0.14", "bank"), Rate("USD", "CNY", SECOND, "8", "bank")])


def money(**fields: Any) -> Money:
    made = {"day": FIRST, "key": "a", "currency": "USD", "requests": 1, "charged": 0, "refunded": 0, "cost": 0, "uncosted": 0}
    return Money(**{**made, **fields})


def test_each_days_money_is_converted_at_that_days_rate() -> None:
    found = report(
        [
            money(charged=10 * UNIT, cost=4 * UNIT),
            money(currency="CNY", charged=100 * UNIT, cost=50 * UNIT, refunded=10 * UNIT),
            money(day=SECOND, currency="CNY", charged=80 * UNIT),
        ],
        RATES,
        "USD",
    )
    (row,) = found["data"]
    assert (row["key"], row["requests"]) == ("a", 3)
    assert (row["charged"], row["refunded"], row["cost"], row["margin"]) == ("34.00", "1.40", "11.00", "21.60")
    assert row["margin_percent"] == "66.26"
    assert found["total"] == {name: value for name, value in row.items() if name != "key"}
    assert found["unconverted"] == []
    assert [(rate["date"], rate["rate"], rate["inverted"]) for rate in found["rates"]] == [
        ("2026-03-14", "0.14", False), ("2026-03-15", "8", True),
    ]  # fmt: skip


def test_what_has_no_rate_is_told_as_it_is_and_is_in_no_total() -> None:
    found = report([money(charged=UNIT), money(currency="EUR", charged=5 * UNIT, cost=UNIT)], RATES, "USD")
    assert found["total"]["charged"] == "1.00"
    (left,) = found["unconverted"]
    assert (left["key"], left["currency"], left["date"], left["charged"], left["cost"]) == (
        "a",
        "EUR",
        "2026-03-14",
        "5.00",
        "1.00",
    )


def test_what_a_stored_rate_makes_too_much_of_is_told_as_it_is_and_the_rest_is_reported() -> None:
    odd = Rates([Rate("XAU", "USD", FIRST, "0.000000000000000001", "old"), Rate("CNY", "XAU", FIRST, "2", "bank")])
    dollars = [money(key=key, charged=UNIT, cost=UNIT) for key in ("a", "b")]
    found = report([*dollars, money(currency="CNY", charged=UNIT)], odd, "XAU")
    assert [(each["currency"], each["charged_nano"]) for each in found["unconverted"]] == [("USD", UNIT)] * 2
    assert found["total"]["charged_nano"] == 2 * UNIT
    assert {rate["currency"] for rate in found["rates"]} == {"CNY"}


def test_many_days_that_fit_alone_are_shown_only_as_far_as_their_sum_fits() -> None:
    half = [money(key=str(number), charged=2**61, cost=2**60) for number in range(9)]
    found = report(half, RATES, "USD")
    assert len(found["data"]) == 1
    assert len(found["unconverted"]) == 8
    orjson.dumps(found)


def test_a_loss_is_negative_and_nothing_charged_has_no_percentage() -> None:
    found = report([money(charged=UNIT, cost=3 * UNIT), money(key="b", cost=UNIT), money(key=None, charged=UNIT)], RATES, "USD")
    assert [(row["key"], row["margin"], row["margin_percent"]) for row in found["data"]] == [
        ("a", "-2.00", "-200.00"), ("b", "-1.00", None), (None, "1.00", "100.00"),
    ]  # fmt: skip
    assert (percent(1, 3), percent(-1, 3), percent(1, 20_000), percent(3, 20_000)) == ("33.33", "-33.33", "0.00", "0.02")


amounts = st.integers(0, 10**18)


@given(
    st.lists(
        st.builds(
            Money,
            day=st.sampled_from([FIRST, SECOND]),
            key=st.sampled_from(["a", "b", None]),
            currency=st.sampled_from(["USD", "CNY"]),
            requests=st.integers(0, 9),
            charged=amounts,
            refunded=amounts,
            cost=amounts,
            uncosted=amounts,
        ),
        max_size=12,
    )
)
def test_figures_are_those_of_exact_decimals_rounded_once_and_add_up(given_money: list[Money]) -> None:
    found = report(given_money, RATES, "USD")
    factors = {(FIRST, "CNY"): Decimal("0.14"), (SECOND, "CNY"): Decimal("0.125")}
    with localcontext(prec=60):
        for row in found["data"]:
            for name in ("charged", "refunded", "cost", "uncosted"):
                mine = [each for each in given_money if each.key == row["key"]]
                exact: Decimal = sum(
                    (each.figure(name) * factors.get((each.day, each.currency), Decimal(1)) for each in mine), Decimal(0)
                )
                assert row[f"{name}_nano"] == int(exact.to_integral_value("ROUND_HALF_EVEN"))
            assert row["margin_nano"] == row["charged_nano"] - row["refunded_nano"] - row["cost_nano"]
    for name in ("charged", "refunded", "cost", "uncosted", "margin"):
        assert found["total"][f"{name}_nano"] == sum(row[f"{name}_nano"] for row in found["data"])
