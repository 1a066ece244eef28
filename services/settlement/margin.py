"""What was earned: charges less refunds less what the attempts cost, in one currency, at the rates of their days. Pure.

Everything is exact until each figure of a row is rounded once (`fx.rounded`); margins and totals are sums of rounded figures,
so that what is shown adds up.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction
from typing import Any, Literal

from schemas.money import format_amount
from services.settlement.fx import Rates, Used, rounded

By = Literal["day", "model", "channel", "account"]
MOST_NANO = 2**62
"""Half of what a reply's 64 bits hold, so that no rounding passes them. A rate of an older release may lead beyond it."""
FIGURES = ("charged", "refunded", "cost", "uncosted")
HUNDREDTHS_OF_A_PERCENT = 10_000


@dataclass(frozen=True, slots=True)
class Money:
    """One day's money of one key in one currency, in nano. `uncosted` was charged by requests whose cost nobody declared."""

    day: date
    key: str | None
    currency: str
    requests: int
    charged: int
    refunded: int
    cost: int
    uncosted: int

    def figure(self, name: str) -> int:
        """One of `FIGURES`."""
        value: int = getattr(self, name)
        return value


@dataclass(slots=True)
class _Row:
    requests: int = 0
    exact: dict[str, Fraction] = field(default_factory=lambda: dict.fromkeys(FIGURES, Fraction(0)))

    def add(self, money: Money, factor: Fraction) -> None:
        self.requests += money.requests
        for name in FIGURES:
            self.exact[name] += money.figure(name) * factor


@dataclass(slots=True)
class _Room:
    """What a report's figures may still come to, all taken as positive: within it, no sum of them passes `MOST_NANO`."""

    taken: Fraction = Fraction(0)

    def has(self, money: Money, factor: Fraction) -> bool:
        """Whether a day's money has room, which it then takes."""
        more = sum(abs(money.figure(name)) for name in FIGURES) * factor
        if self.taken + more > MOST_NANO:
            return False
        self.taken += more
        return True


def report(money: Iterable[Money], rates: Rates, currency: str) -> dict[str, Any]:
    """Rows by key, their total, what could not be converted, and the rates that were used."""
    rows: dict[str | None, _Row] = {}
    unconverted: list[Money] = []
    room = _Room()
    used: dict[tuple[str, date], Used] = {}
    for each in money:
        found = rates.on(each.currency, currency, each.day)
        if found is None or not room.has(each, found.factor):
            unconverted.append(each)
            continue
        if found.stored is not None:
            used[each.currency, each.day] = found
        rows.setdefault(each.key, _Row()).add(each, found.factor)
    shown = [_shown(key, row) for key, row in sorted(rows.items(), key=lambda item: (item[0] is None, item[0] or ""))]
    return {
        "currency": currency,
        "data": shown,
        "total": _total(shown),
        "unconverted": [_as_it_is(each) for each in unconverted],
        "rates": [_rate(name, day, each) for (name, day), each in sorted(used.items())],
    }


def _shown(key: str | None, row: _Row) -> dict[str, Any]:
    return {"key": key, **_figures(row.requests, {name: rounded(row.exact[name]) for name in FIGURES})}


def _total(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    listed = list(rows)
    sums = {name: sum(row[f"{name}_nano"] for row in listed) for name in FIGURES}
    return _figures(sum(row["requests"] for row in listed), sums)


def _figures(requests: int, nano: Mapping[str, int]) -> dict[str, Any]:
    earned = nano["charged"] - nano["refunded"]
    all_nano = {**nano, "margin": earned - nano["cost"]}
    return {
        "requests": requests,
        **{name: format_amount(value) for name, value in all_nano.items()},
        **{f"{name}_nano": value for name, value in all_nano.items()},
        "margin_percent": percent(all_nano["margin"], earned),
    }


def percent(part: int, whole: int) -> str | None:
    """A share with two places, half to even; None of nothing."""
    if whole <= 0:
        return None
    hundredths = round(Fraction(part * HUNDREDTHS_OF_A_PERCENT, whole))
    sign = "-" if hundredths < 0 else ""
    return f"{sign}{abs(hundredths) // 100}.{abs(hundredths) % 100:02d}"


def _as_it_is(money: Money) -> dict[str, Any]:
    amounts = {name: money.figure(name) for name in FIGURES}
    return {
        "key": money.key,
        "date": money.day.isoformat(),
        "currency": money.currency,
        "requests": money.requests,
        **{name: format_amount(value) for name, value in amounts.items()},
        **{f"{name}_nano": value for name, value in amounts.items()},
    }


def _rate(currency: str, day: date, used: Used) -> dict[str, Any]:
    assert used.stored is not None
    return {
        "date": day.isoformat(),
        "currency": currency,
        "from": used.stored.from_currency,
        "to": used.stored.to_currency,
        "rate": used.stored.rate,
        "rate_of": used.stored.day.isoformat(),
        "inverted": used.inverted,
        "source": used.stored.source,
    }
