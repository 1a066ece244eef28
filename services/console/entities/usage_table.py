"""A usage report as a table for people. Pure: currencies are never added."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

IDS = {"account": "account_id", "project": "project_id", "key": "key_id", "run": "run_id"}
COUNTS = ("requests", "failed", "attempts", "fallbacks")
TOKENS = ("input_tokens", "cached_input_tokens", "cache_write_tokens", "output_tokens", "burned_tokens")
PLAIN = ("input_tokens", "output_tokens")
"""Shown always; the others where there are any."""


@dataclass(frozen=True)
class Table:
    """Headings and rows; `cut` where the report has more of them."""

    columns: list[str]
    rows: list[list[Any]]
    cut: bool


def table(report: Mapping[str, Any]) -> Table:
    """One line a group, and below them the totals of the whole report, which count each request once."""
    names = [*([report["interval"]] if report["interval"] != "none" else []), *report["by"]]
    tokens = [name for name in TOKENS if name in PLAIN or report["totals"][name]]
    currencies = [each["currency"] for each in report["totals"]["costs"]]
    columns = [*names, *COUNTS, *(name.removesuffix("_tokens").replace("_", " ") for name in tokens), *currencies]
    rows = [[*_names(row, names), *_figures(row, tokens, currencies)] for row in report["data"]] if names else []
    total = [*["total", *[None] * (len(names) - 1)][: len(names)], *_figures(report["totals"], tokens, currencies)]
    return Table(columns, [*rows, total], report["next_after"] is not None)


def _names(row: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    said = [str(row[IDS.get(name, name)]) for name in names]
    return [
        f"{text} ({row['key_name']})" if name == "key" and row["key_name"] else text
        for name, text in zip(names, said, strict=True)
    ]


def _figures(row: Mapping[str, Any], tokens: Sequence[str], currencies: Sequence[str]) -> list[Any]:
    costs = {each["currency"]: each["cost"] for each in row["costs"]}
    return [*(row[name] for name in (*COUNTS, *tokens)), *(costs.get(each) for each in currencies)]
