"""The statement that answers a question, and its rows as people and programs read them. Pure: currencies are never added."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from schemas.money import format_amount
from services.analytics.errors import TransientError
from services.analytics.sqlfile import queries
from services.analytics.usage_api.cells import harmless
from services.analytics.usage_api.periods import days, shifts
from services.analytics.usage_api.question import FILTERS, TAG_VALUE, Question

Row = Mapping[str, Any]
NAMES = {"account": "account_id", "project": "project_id", "key": "key_id", "run": "run_id"}
COUNTS = (
    "requests",
    "failed",
    "attempts",
    "fallbacks",
    "input_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
    "burned_tokens",
)
PLACES = 3


class LateCurrencyError(TransientError):
    """A report began before its account was charged in this currency: ask again."""


def statement(asked: Question) -> str:
    """The SQL of a report."""
    blocks, places = queries("usage.sql"), queries("usage_dimensions.sql")
    parts = {side: blocks[side].replace("$table", _table(asked, side)) for side in ("usage", "spend")}
    for number, name in enumerate(_places(asked)):
        expression = places["tag_value" if name.startswith(TAG_VALUE) else name].replace("$n", str(number))
        parts = {side: text.replace(f"$d{number}", expression) for side, text in parts.items()}
    return blocks["report"].replace("$usage", parts["usage"]).replace("$spend", parts["spend"])


def parameters(asked: Question, limit: int, after: tuple[str, str, str] | None) -> dict[str, Any]:
    """What the statement takes."""
    names = [name for name in asked.tags if "=" not in name]
    first, second, third = after or ("", "", "")
    values = {f"tag{number}": name.removeprefix(TAG_VALUE) for number, name in enumerate(_places(asked))}
    return {
        "from_s": int(asked.since.timestamp()),
        "to_s": int(asked.until.timestamp()),
        **_periods(asked),
        "everyone": int(asked.accounts is None),
        "accounts": sorted(asked.accounts or ()),
        **{name: asked.filters.get(name, "") for name in FILTERS},
        "tags": [pair for pair in asked.tags if "=" in pair],
        "tag_names": names,
        "first": int(after is None),
        **values,
        **{"after0": first, "after1": second, "after2": third},
        "limit": limit,
    }


def keys(row: Row) -> tuple[str, ...]:
    """The place of a row in the order of the report."""
    return tuple(row[f"d{number}"] for number in range(PLACES))


def record(asked: Question, row: Row) -> dict[str, Any]:
    """One row of the report: by what, the counts, the cost per currency."""
    named = dict(zip(columns(asked), keys(row), strict=False))
    if asked.grain == "hour":
        named["hour"] = datetime.fromtimestamp(int(named["hour"]), UTC).astimezone(ZoneInfo(asked.zone)).isoformat()
    if "key" in asked.by:
        named["key_name"] = row["key_name"]
    return {**named, **totals(row)}


def totals(row: Row | None) -> dict[str, Any]:
    """The counts and costs of a row; zeros for none."""
    counts = {name: int(row[name]) if row else 0 for name in COUNTS}
    cost = {currency: int(nano) for currency, nano in sorted(row["cost"].items())} if row else {}
    costs = [{"currency": name, "cost_nano": nano, "cost": format_amount(nano)} for name, nano in cost.items() if nano]
    return {**counts, "costs": costs}


def columns(asked: Question) -> list[str]:
    """The names of what the rows are summed by."""
    begin = [] if asked.grain == "none" else [asked.grain]
    return [*begin, *(NAMES.get(name, name) for name in asked.by)]


def csv_head(asked: Question, currencies: Sequence[str]) -> bytes:
    """The first line of the report by RFC 4180: `cost_USD` and the like hold decimal texts, one column a currency."""
    return _written([[*map(harmless, _named(asked)), *COUNTS, *(f"cost_{currency}" for currency in currencies)]])


def csv_lines(asked: Question, records: Iterable[Mapping[str, Any]], currencies: Sequence[str]) -> bytes:
    """Lines of the report. Raises :class:`LateCurrencyError` for a cost that no column of the head is for."""
    lines = []
    for one in records:
        costs = {each["currency"]: each["cost"] for each in one["costs"]}
        if late := costs.keys() - set(currencies):
            raise LateCurrencyError(f"the first {', '.join(sorted(late))} came while the report was written")
        counts, money = (one[name] for name in COUNTS), (costs.get(currency, "0") for currency in currencies)
        lines.append([*(harmless(one[name]) for name in _named(asked)), *counts, *money])
    return _written(lines)


def _named(asked: Question) -> list[str]:
    return [*columns(asked), *(["key_name"] if "key" in asked.by else [])]


def _written(lines: Iterable[Iterable[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(lines)
    return text.getvalue().encode()


def _periods(asked: Question) -> dict[str, list[Any]]:
    span = (ZoneInfo(asked.zone), asked.since, asked.until)
    if asked.grain == "day":
        found = days(*span)
        return {"day_starts": list(found), "day_names": [day.isoformat() for day in found.values()]}
    if asked.grain == "hour":
        past = shifts(*span)
        return {"shift_starts": list(past), "shifts": list(past.values())}
    return {}


def _table(asked: Question, side: str) -> str:
    if asked.with_runs:
        return queries("usage.sql")[f"{side}_with_runs"]
    return f"{side}_{'hour' if asked.of_whole_hours else 'minute'}"


def _places(asked: Question) -> list[str]:
    """The dimension of each place, the period first."""
    named = [*([] if asked.grain == "none" else [asked.grain]), *asked.by]
    return [*named, *["none"] * (PLACES - len(named))]
