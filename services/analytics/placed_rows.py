"""Rows of a batch in the raw tables: inserting them, and asking which are there."""

from collections.abc import Sequence
from uuid import UUID

from clickhouse_connect.driver.client import Client

from services.analytics.rollups import ROLLUPS
from services.analytics.rows.alerts import ALERTS
from services.analytics.rows.decode import Row
from services.analytics.rows.registry import TABLES
from services.analytics.rows.table import Table
from services.analytics.span import Span
from services.analytics.sqlfile import queries

BATCH = ("batch", "UInt64")
"""The column beyond the row's own: the number of the batch that brought it, 0 for rows of before there were numbers."""
INSERT_SETTINGS = {
    "max_partitions_per_insert_block": 0,
    "insert_deduplicate": 1,
    "optimize_on_insert": 0,
    "async_insert": 0,
    "wait_end_of_query": 1,
}


def insert(client: Client, table: Table, rows: Sequence[Row], batch_no: int, token: str) -> None:
    """Insert rows, values in the order of the table's columns; again under the same token is a no-op."""
    client.insert(
        table.name,
        [*zip(*rows, strict=True), (batch_no,) * len(rows)],
        column_names=[*table.names, BATCH[0]],
        column_type_names=[*(column.clickhouse_type for column in table.columns), BATCH[1]],
        column_oriented=True,
        settings={**INSERT_SETTINGS, "insert_deduplication_token": token},
    )


def known(client: Client, table: Table, rows: Sequence[Row], batch_no: int) -> set[int]:
    """The ids among the rows' events that the table has from another batch. The instants of the rows bound the search."""
    event_id, at = table.names.index("event_id"), table.names.index("occurred_at")
    span = Span.of(row[at] for row in rows)
    sql = queries("placing.sql")["known_at_any_time" if table is ALERTS else "known"]
    ids = ",".join(f"{row[event_id]:032x}" for row in rows)
    return _ids(client, sql.replace("$table", table.name).replace("$ids", ids), batch=batch_no, **span.parameters)


def of_batch(client: Client, table: Table, batch_no: int) -> set[int]:
    """The ids of the events that the table has from this batch."""
    return _ids(client, queries("placing.sql")["rows_of_batch"].replace("$table", table.name), batch=batch_no)


def last_batch_of(client: Client) -> int:
    """The highest number of a batch that the store has rows of, or a rollup has counted; 0 if there is none."""
    sql = queries("placing.sql")["last_batch"]
    names = [table.name for table in TABLES] + [rollup.table for rollup in ROLLUPS]
    return max(int(client.query(sql.replace("$table", name)).result_rows[0][0]) for name in names)


def _ids(client: Client, sql: str, **parameters: int) -> set[int]:
    found: set[UUID] = {row[0] for row in client.query(sql, parameters=parameters).result_rows}
    return {event_id.int for event_id in found}
