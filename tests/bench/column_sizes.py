"""`python -m tests.bench.column_sizes DIR`: bytes per row of each column, and what other codecs would come to.

With `--codecs` each codec's bytes per row and, in brackets, the CPU time in ns that it takes to read a value on one core.

DIR is one that `tests.bench.warehouse_data` has filled, or that of an installation which is not running.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

from clickhouse_connect.driver.binding import quote_identifier
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError
from rich.console import Console
from rich.table import Table as Grid

from services.analytics.warehouse import connector
from tests.bench.warehouse_data import DATABASE

COLUMNS = """
SELECT column, any(type), sum(rows) AS n, sum(column_data_compressed_bytes) AS packed, sum(column_data_uncompressed_bytes)
FROM system.parts_columns
WHERE active AND database = currentDatabase() AND table = {table:String}
GROUP BY column ORDER BY packed DESC, column
"""
TABLES = "SELECT DISTINCT table FROM system.parts WHERE active AND database = currentDatabase() ORDER BY table"
SAMPLE = 200_000
WORTH = 0.2
"""Columns of fewer bytes per row are not tried with other codecs."""
CODECS = (
    "ZSTD(1)",
    "ZSTD(3)",
    "LZ4",
    "Delta, ZSTD(1)",
    "DoubleDelta, ZSTD(1)",
    "Gorilla, ZSTD(1)",
    "T64, ZSTD(1)",
    "T64, ZSTD(3)",
    "T64, LZ4",
)
READS = 3
WIDTH = 140
WIDE = "SETTINGS min_bytes_for_wide_part = 0, min_rows_for_wide_part = 0"
"""Only parts of this kind tell the size of each column."""


def columns(client: Client, table: str) -> Iterator[tuple[str, str, float, float]]:
    """(column, type, bytes per row, bytes per row uncompressed), the largest first."""
    for column, kind, rows, packed, whole in client.query(COLUMNS, parameters={"table": table}).result_rows:
        yield column, kind, packed / rows, whole / rows


def alternatives(client: Client, table: str, column: str) -> Iterator[tuple[str, float, float]]:
    """(codec, bytes per row, ns of CPU per row read) of a sample in the table's own order, of codecs that can hold the type."""
    source, name = quote_identifier(table), quote_identifier(column)
    kind, key = client.query(
        "SELECT type, sorting_key FROM system.columns JOIN system.tables AS t ON t.name = table AND t.database = database"
        " WHERE database = currentDatabase() AND table = {table:String} AND system.columns.name = {column:String}",
        parameters={"table": table, "column": column},
    ).result_rows[0]
    for codec in CODECS:
        client.command("DROP TABLE IF EXISTS bench_codec")
        made = f"CREATE TABLE bench_codec (n UInt32, {name} {kind} CODEC({codec})) ENGINE = MergeTree ORDER BY n {WIDE}"
        if not _holds(client, made):
            continue
        ordered = f"SELECT {name} FROM {source} ORDER BY {key} LIMIT {SAMPLE}"
        client.command(f"INSERT INTO bench_codec SELECT rowNumberInAllBlocks(), {name} FROM ({ordered})")
        found = {name: packed for name, _, packed, _ in columns(client, "bench_codec")}
        yield codec, found[column], _reading_ns(client, name) / _rows(client)
    client.command("DROP TABLE IF EXISTS bench_codec")


def _rows(client: Client) -> int:
    return int(client.query("SELECT greatest(count(), 1) FROM bench_codec").result_rows[0][0])


def _reading_ns(client: Client, name: str) -> float:
    """The least of a few: a busy machine makes it longer, never shorter."""
    taken = []
    for _ in range(READS):
        begun = time.process_time_ns()
        client.query(f"SELECT count() FROM bench_codec WHERE NOT ignore({name})", settings={"max_threads": 1})
        taken.append(time.process_time_ns() - begun)
    return min(taken)


def _holds(client: Client, made: str) -> bool:
    try:
        client.command(made)
    except ClickHouseError:
        return False
    return True


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.column_sizes", description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--tables", nargs="*", help="only these")
    parser.add_argument("--columns", nargs="*", help="only these")
    parser.add_argument("--codecs", action="store_true", help="also try other codecs on the large columns")
    arguments = parser.parse_args()
    console = Console(width=WIDTH)
    client = connector("", arguments.directory, DATABASE, max_threads=2)()
    for (table,) in client.query(TABLES).result_rows:
        if arguments.tables and table not in arguments.tables:
            continue
        grid = Grid("column", "type", "bytes/row", "unpacked", "other codecs", title=table)
        for column, kind, packed, whole in columns(client, table):
            if arguments.columns and column not in arguments.columns:
                continue
            tried = alternatives(client, table, column) if arguments.codecs and packed >= WORTH else ()
            grid.add_row(
                column,
                kind,
                f"{packed:.2f}",
                f"{whole:.2f}",
                ", ".join(f"{name}: {size:.2f} ({read:.0f})" for name, size, read in tried),
            )
        console.print(grid)
    client.close()


if __name__ == "__main__":
    main()
