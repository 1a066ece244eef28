"""`python -m tests.bench.warehouse_data DIR`: an embedded ClickHouse with ten million made-up attempts, to measure queries on.

Rows are made by ClickHouse itself, day by day; the rollups are filled by the loader's own SQL. DIR is a data directory as
TOLLBOOK_DATA_DIR names one, and stays for later runs. With `--trace` every hour is the hour of the trace (its instants,
prompts and answers; traffic of its shape where it is missing): what sizes of columns are measured on.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from clickhouse_connect.driver.binding import quote_identifier
from clickhouse_connect.driver.client import Client

from services.analytics import warehouse_schema
from services.analytics.placed_rows import last_batch_of
from services.analytics.rollups import ROLLUPS, add
from services.analytics.span import DAY_US, Span
from services.analytics.sqlfile import named_blocks
from services.analytics.warehouse import connector
from tests.evaluation.requests import traced

SQL = Path(__file__).parent / "warehouse.sql"
DATABASE = "tollbook"
TABLES = ("requests", "attempts", "completions", "ledger")
ATTEMPTS_PER_REQUEST = 1.15
LAST_DAY = datetime(2026, 11, 25, tzinfo=UTC)
"""The last day of the data, whole; fixed, so that the same arguments give the same data."""
HOURS_PER_DAY = 24
MADE_UP = {
    "$second": "86399 * (u - 0.1 * sin(2 * pi() * u) * u * (1 - u))",
    "$prompt": "50 + pow((h1 % 1000) / 100, 3) * 8",
    "$answer": "10 + (h2 % 900)",
    "$took": "exp(6 + 0.7 * ((h1 % 1000) + (h2 % 1000) + (h3 % 1000) - 1500) / 500)",
}
TRACED = {
    "$second": "intDiv(number, $length) * 3600 + joinGet('bench_trace', 'second', toUInt64(number % $length))",
    "$prompt": "joinGet('bench_trace', 'prompt', toUInt64(number % $length))",
    "$answer": "joinGet('bench_trace', 'answer', toUInt64(number % $length))",
    "$took": "200 + tokens_in / 20 + tokens_out * (8 + exp(((h1 % 1000) + (h2 % 1000) + (h3 % 1000)) / 1000))",
}
"""How long a request takes is in no trace: a time to the first token that grows with the prompt, then some ms a token."""
FAST = {"max_insert_block_size": 1_048_576, "max_partitions_per_insert_block": 0, "max_threads": 2}


def fill(client: Client, shape: dict[str, str], per_day: int, days: int, most_days: int) -> Iterator[str]:
    """Make the rows and the rollups of `most_days` days that are not there yet; says what it has done, day by day."""
    warehouse_schema.migrate(client)
    for table in (*TABLES, *(rollup.table for rollup in ROLLUPS)):
        client.command(f"ALTER TABLE {quote_identifier(table)} MODIFY SETTING fsync_after_insert = 0, fsync_part_directory = 0")
    done = last_batch_of(client)
    blocks = named_blocks(SQL.read_text("utf-8"))
    for number in range(done, min(days, done + most_days)):
        begun = time.perf_counter()
        day_s = int((LAST_DAY - timedelta(days=days - 1 - number)).timestamp())
        values: dict[str, object] = {**shape, "$first": number * per_day, "$count": per_day, "$day_s": day_s}
        client.command(_filled(blocks["traffic"], values))
        for table in TABLES:
            client.command(blocks[table], parameters={"batch": number + 1}, settings=FAST)
        # Attempts that began late end on the next day: the span is wider than the day, the batch number tells the rows.
        span = Span(day_s * 1_000_000, day_s * 1_000_000 + 2 * DAY_US)
        for rollup in ROLLUPS:
            add(client, rollup, number + 1, span, "")
        yield f"day {number + 1} of {days}: {per_day:,} requests in {time.perf_counter() - begun:.1f} s"
    client.command("DROP VIEW IF EXISTS bench_traffic")


def keep_trace(client: Client) -> int:
    """Put the trace where the view looks requests up; how many it has."""
    columns = traced(np.random.default_rng(1))
    client.command(
        "CREATE OR REPLACE TABLE bench_trace (n UInt64, second Int64, prompt UInt64, answer UInt64) ENGINE = Join(ANY, LEFT, n)"
    )
    rows = [list(map(int, row)) for row in zip(range(len(columns[0])), *columns, strict=True)]
    client.insert("bench_trace", rows, column_names=["n", "second", "prompt", "answer"])
    return len(rows)


def _filled(text: str, values: Mapping[str, object]) -> str:
    for name, value in values.items():
        text = text.replace(name, str(value))
    return text


def sizes(client: Client) -> Iterator[str]:
    """Rows and bytes of each table."""
    rows = client.query(
        "SELECT table, sum(rows), sum(bytes_on_disk), count() FROM system.parts WHERE active AND database = currentDatabase()"
        " GROUP BY table ORDER BY table"
    ).result_rows
    for table, count, size, parts in rows:
        yield f"{table:20} {count:>12,} rows {size:>14,} bytes {size / max(count, 1):7.1f} bytes/row {parts:4} parts"


def main() -> None:
    """Fill the directory and tell the sizes."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.warehouse_data", description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--attempts", type=int, default=10_000_000)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--most-days", type=int, default=1000, help="of this run: the next goes on behind them")
    parser.add_argument("--trace", action="store_true", help="the trace, 24 times a day, instead of --attempts made up")
    arguments = parser.parse_args()
    client = connector("", arguments.directory, DATABASE, max_threads=2)()
    shape, per_day = MADE_UP, int(arguments.attempts / ATTEMPTS_PER_REQUEST / 0.97 / arguments.days)
    if arguments.trace:
        length = keep_trace(client)
        shape, per_day = {**TRACED, "$length": str(length)}, length * HOURS_PER_DAY
    for line in fill(client, shape, per_day, arguments.days, arguments.most_days):
        print(line, flush=True)
    for line in sizes(client):
        print(line)
    client.close()


if __name__ == "__main__":
    main()
