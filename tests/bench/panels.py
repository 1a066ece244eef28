"""`python -m tests.bench.panels DIR`: how long each query of the dashboard takes on the data of `warehouse_data`.

Each query runs over several ranges that end with the data, several times; the table shows the median in ms. Nothing fails on a
figure.
"""

from __future__ import annotations

import argparse
import re
import statistics
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError
from rich.console import Console
from rich.table import Table as Grid

from services.analytics.sqlfile import queries
from services.analytics.timerange import TimeRange
from services.analytics.warehouse import connector
from tests.bench.warehouse_data import DATABASE, LAST_DAY

RANGES = {
    "1 h": timedelta(hours=1),
    "24 h": timedelta(days=1),
    "7 d": timedelta(days=7),
    "30 d": timedelta(days=30),
}
FILES = ("dashboard.sql",)
LIMIT_MS = 300
WIDTH = 140
_PLACE = re.compile(r"\{(\w+):([^}]+)\}")


@dataclass(frozen=True)
class Timed:
    """One query over one range."""

    ms: float
    read_rows: int
    rows: int


def parameters_of(sql: str, time_range: TimeRange) -> dict[str, Any]:
    """Values for every parameter of a query: those of the range, else what filters nothing."""
    known: Mapping[str, Any] = {
        **time_range.parameters,
        "limit": 20,
        "key_ids": [f"key_{n:012d}" for n in range(20)],
        "every": True,
    }
    return {name: known.get(name, _empty(kind)) for name, kind in _PLACE.findall(sql)}


def _empty(kind: str) -> Any:
    if kind.startswith("Array"):
        return []
    return "" if "String" in kind else 0


def time_query(client: Client, sql: str, parameters: dict[str, Any], times: int) -> Timed:
    """The median of several runs; the first, which fills the caches, is not counted."""
    taken: list[float] = []
    for _ in range(times + 1):
        begun = time.perf_counter()
        result = client.query(sql, parameters=parameters)
        taken.append((time.perf_counter() - begun) * 1000)
    return Timed(statistics.median(taken[1:]), int(result.summary.get("read_rows", 0)), len(result.result_rows))


def measure(client: Client, end: datetime, times: int) -> Iterator[tuple[str, dict[str, Timed | str]]]:
    """(query, range → how long) for every named query."""
    for file_name in FILES:
        for name, sql in queries(file_name).items():
            found: dict[str, Timed | str] = {}
            for label, length in RANGES.items():
                span = TimeRange.of(end - length, end, None)
                try:
                    found[label] = time_query(client, sql, parameters_of(sql, span), times)
                except ClickHouseError as error:
                    found[label] = str(error).partition("\n")[0][:60]
            yield f"{file_name.removesuffix('.sql')}.{name}", found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.panels", description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--times", type=int, default=3)
    arguments = parser.parse_args()
    console = Console(width=WIDTH)
    grid = Grid("query", *RANGES, "rows given (30 d)", title=f"Median of {arguments.times}, ms; above {LIMIT_MS} in bold")
    client = connector("", arguments.directory, DATABASE, max_threads=2)()
    for name, found in measure(client, LAST_DAY + timedelta(days=1), arguments.times):
        cells = [_cell(found[label]) for label in RANGES]
        last = found[list(RANGES)[-1]]
        grid.add_row(name, *cells, f"{last.rows:,}" if isinstance(last, Timed) else "")
        console.print(f"{name}: {', '.join(cells)}")
    console.print(grid)
    client.close()


def _cell(timed: Timed | str) -> str:
    if isinstance(timed, str):
        return timed
    text = f"{timed.ms:,.0f}"
    return f"[bold]{text}[/bold]" if timed.ms > LIMIT_MS else text


if __name__ == "__main__":
    main()
