"""`python -m tests.bench.panels DIR`: how long the queries of dashboards, signals, usage and costs take on `warehouse_data`.

Each query runs over several ranges that end with the data, several times; the table shows the median in ms, the least and, as
the machine may be busy with other things, the least CPU time of both cores. Nothing fails on a figure. Of the signals' queries
`_hours` are asked once an hour over one or four weeks, `_window` every quarter of a minute over some minutes, `_minutes` by a
backtest alone.
"""

from __future__ import annotations

import argparse
import re
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError
from rich.console import Console
from rich.table import Table as Grid

from services.analytics.drilldown.desk import statement
from services.analytics.drilldown.question import Filter, Question
from services.analytics.sqlfile import queries
from services.analytics.timerange import TimeRange
from services.analytics.usage_api import report
from services.analytics.usage_api.question import Question as Report
from services.analytics.warehouse import connector
from tests.bench.warehouse_data import DATABASE, LAST_DAY
from tests.integration.analytics.grafana import expanded, targets

RANGES = {
    "1 h": timedelta(hours=1),
    "24 h": timedelta(days=1),
    "7 d": timedelta(days=7),
    "30 d": timedelta(days=30),
}
FILES = ("dashboard.sql", "signals.sql")
REPORTS = {"key and day": ("key", "day"), "model": ("model", "none"), "tag and day": ("tag", "day"), "totals": ("", "none")}
LINES = 1_001
SUBJECTS = {"key": "key_000000000003", "project": "prj_3", "account": "acc_3", "channel": "channel-3", "model": "model-3"}
LIMIT_MS = 300
WIDTH = 140
NO_FILTERS = {"account": "", "project": "", "key": "", "tag": ""}
_PLACE = re.compile(r"\{(\w+):([^}]+)\}")


@dataclass(frozen=True)
class Timed:
    """One query over one range."""

    ms: float
    least_ms: float
    cpu_ms: float
    rows: int


LISTS = {
    "all requests": ("ended", Filter()),
    "of a key": ("ended", Filter(key_id="key_000000000993")),
    "of a key that is not there": ("ended", Filter(key_id="nobody")),
    "with a tag": ("ended", Filter(tag="team=t4")),
    "with a tag that is not there": ("ended", Filter(tag="team=nobody's")),
    "failed": ("ended", Filter(outcomes=("failed",))),
    "rejected": ("ended", Filter(outcomes=("rejected",))),
    "failed on a busy channel": ("failures", Filter(failed_on="channel-5")),
    "failed on a quiet channel, by class": ("failures", Filter(failed_on="channel-19", error="timeout")),
    "failed on a channel that is not there": ("failures", Filter(failed_on="nobody")),
    "steps between two channels": ("steps", Filter(fell_from="channel-5", fell_to="channel-6")),
}
"""The list of requests behind a figure: usual questions, and those that find little or nothing and so read the most."""
FORGETFUL = "SETTINGS use_query_condition_cache = 0"


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
    """Of several runs; the first, which fills the caches, is not counted."""
    taken: list[float] = []
    used: list[float] = []
    for _ in range(times + 1):
        begun, cpu_begun = time.perf_counter(), time.process_time()
        rows = len(client.query(sql, parameters=parameters).result_rows)
        taken.append((time.perf_counter() - begun) * 1000)
        used.append((time.process_time() - cpu_begun) * 1000)
    return Timed(statistics.median(taken[1:]), min(taken[1:]), min(used[1:]), rows)


Asked = Callable[[datetime, TimeRange], tuple[str, dict[str, Any]]]
"""(end, range) → a query and its parameters."""


def asked() -> Iterator[tuple[str, Asked]]:
    """Every query of the dashboard and the signals, of every panel of Grafana's, and of some reports and costs."""
    for file_name in FILES:
        for name, sql in queries(file_name).items():
            yield f"{file_name.removesuffix('.sql')}.{name}", partial(_of_dashboard, sql)
    for label, (name, given) in LISTS.items():
        yield f"list: {label}", partial(_of_list, name, given)
    for target in targets():
        yield f"grafana {target.dashboard}: {target.panel}", partial(_of_grafana, target.sql)
    for name, (by, grain) in REPORTS.items():
        yield f"usage by {name}", partial(_of_report, by, grain)
    for kind in SUBJECTS:
        yield f"cost of a {kind}", partial(_of_cost, kind)


def _of_dashboard(sql: str, _: datetime, span: TimeRange) -> tuple[str, dict[str, Any]]:
    return sql, parameters_of(sql, span)


def _of_list(name: str, given: Filter, end: datetime, span: TimeRange) -> tuple[str, dict[str, Any]]:
    begin = datetime.fromtimestamp(span.since_s, UTC)
    asked = Question(since=begin, until=end, only=given)
    # What was asked before is remembered by the engine: a first question takes as long as this.
    return f"{statement(name, tagged=bool(given.tag))}\n{FORGETFUL}", asked.parameters


def _of_grafana(sql: str, end: datetime, span: TimeRange) -> tuple[str, dict[str, Any]]:
    begin = datetime.fromtimestamp(span.since_s, UTC)
    return expanded(sql, begin, end, span.step_s, NO_FILTERS), {}


def _of_report(by: str, grain: str, end: datetime, span: TimeRange) -> tuple[str, dict[str, Any]]:
    since = datetime.fromtimestamp(span.since_s, UTC)
    asked = Report(since=since, until=end, zone="UTC", by=(by,) if by else (), grain=grain)
    return report.statement(asked), report.parameters(asked, LINES, None)


def _of_cost(kind: str, _: datetime, span: TimeRange) -> tuple[str, dict[str, Any]]:
    about = {"kind": kind, "subject": SUBJECTS[kind], "account": ""}
    return queries("delivery_costs.sql")["cost_of_subject"], {"since": span.since_s, "until": span.until_s, **about}


def measure(
    client: Client, end: datetime, times: int, only: str, ranges: list[str]
) -> Iterator[tuple[str, dict[str, Timed | str]]]:
    """(query, range → how long) for every query whose name contains `only`."""
    for name, query in asked():
        if only not in name:
            continue
        found: dict[str, Timed | str] = {}
        for label in ranges:
            sql, parameters = query(end, TimeRange.of(end - RANGES[label], end, None))
            try:
                found[label] = time_query(client, sql, parameters, times)
            except ClickHouseError as error:
                found[label] = str(error).partition("\n")[0][:60]
        yield name, found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.panels", description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--only", default="", help="queries whose name contains this")
    parser.add_argument("--ranges", nargs="*", choices=RANGES, default=list(RANGES), help="only these")
    arguments = parser.parse_args()
    ranges = arguments.ranges
    console = Console(width=WIDTH)
    grid = Grid("query", *ranges, "rows given", title=f"Median (least; CPU) of {arguments.times}, ms")
    client = connector("", arguments.directory, DATABASE, max_threads=2)()
    for name, found in measure(client, LAST_DAY + timedelta(days=1), arguments.times, arguments.only, ranges):
        cells = [_cell(found[label]) for label in ranges]
        last = found[ranges[-1]]
        grid.add_row(name, *cells, f"{last.rows:,}" if isinstance(last, Timed) else "")
        console.print(f"{name}: {', '.join(cells)}")
    console.print(grid)
    client.close()


def _cell(timed: Timed | str) -> str:
    if isinstance(timed, str):
        return timed
    text = f"{timed.ms:,.0f} ({timed.least_ms:,.0f}; {timed.cpu_ms:,.0f})"
    return f"[bold]{text}[/bold]" if timed.ms > LIMIT_MS else text


if __name__ == "__main__":
    main()
