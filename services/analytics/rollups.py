"""Rollups: what each batch adds to them, per minute and per hour, in SQL over the rows that the batch brought.

A rollup keeps with each row the number of the last batch that added to it. Batches are added one after the other and a
month's part of one is a single part of the table, so the highest number in a month tells whether the batch is in.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from clickhouse_connect.driver.client import Client

from services.analytics.rows.attempts import ATTEMPTS
from services.analytics.rows.completions import COMPLETIONS
from services.analytics.rows.ledger import LEDGER
from services.analytics.rows.requests import REQUESTS
from services.analytics.rows.table import Table
from services.analytics.span import DAY_US, Span
from services.analytics.sqlfile import queries

GRAINS = ("minute", "hour")
ONE_PART = {"min_insert_block_size_rows": 1_000_000_000, "min_insert_block_size_bytes": 0, "max_insert_threads": 1}
"""However many rows a statement gives, they come as one block, so that each month gets them whole or not at all."""
INSERT_SETTINGS = {"max_partitions_per_insert_block": 0, "async_insert": 0, "wait_end_of_query": 1, "max_insert_threads": 1}


@dataclass(frozen=True, slots=True)
class Rollup:
    """One of the rollups at one grain, and the events of which table it sums up."""

    name: str
    grain: str
    source: Table
    types: frozenset[str]

    @property
    def table(self) -> str:
        """The table's name."""
        return f"{self.name}_{self.grain}"

    @property
    def statement(self) -> str:
        """The INSERT of what one batch adds."""
        text = queries("rollups.sql")[self.name]
        return text.replace("_minute", f"_{self.grain}").replace("toStartOfMinute", f"toStartOf{self.grain.title()}")


def _each_grain(name: str, source: Table, *types: str) -> tuple[Rollup, ...]:
    return tuple(Rollup(name, grain, source, frozenset(types)) for grain in GRAINS)


ROLLUPS: tuple[Rollup, ...] = (
    *_each_grain("usage", COMPLETIONS, "RequestCompleted"),
    *_each_grain("attempts", ATTEMPTS, "AttemptFinished"),
    *_each_grain("fallbacks", ATTEMPTS, "FallbackTaken"),
    *_each_grain("rejections", REQUESTS, "RequestRejected"),
    *_each_grain("spend", LEDGER, "Captured", "Expired", "LateUsage"),
)
"""Every rollup, in the order in which a batch is added to them."""


def add(client: Client, rollup: Rollup, batch_no: int, span: Span, token: str, **settings: Any) -> None:
    """Add what the batch's raw rows within the span come to; again under the same token is a no-op."""
    client.command(
        rollup.statement,
        parameters={"batch": batch_no, **span.parameters},
        settings={**INSERT_SETTINGS, **ONE_PART, "insert_deduplication_token": token, **settings},
    )


def months_with(client: Client, rollup: Rollup, batch_no: int) -> set[int]:
    """The months (YYYYMM) to which the batch, or a later one, was added."""
    sql = queries("placing.sql")["months_of_rollup"].replace("$table", rollup.table)
    return {int(row[0]) for row in client.query(sql, parameters={"batch": batch_no}).result_rows}


def backfill(client: Client) -> None:
    """Add the rows of before there were batch numbers, day by day. A process that dies in between goes on with the next day."""
    for rollup in ROLLUPS:
        done = set(_days(client, "days_of_rollup", rollup.table))
        for day_s in _days(client, "days_of_old_rows", rollup.source.name):
            if day_s not in done:
                day = Span(day_s * 1_000_000, day_s * 1_000_000 + DAY_US - 1)
                add(client, rollup, 0, day, f"0:{rollup.table}:{day_s}", final=1)


def _days(client: Client, query: str, table: str) -> Iterable[int]:
    sql = queries("placing.sql")[query].replace("$table", table)
    return [int(row[0]) for row in client.query(sql).result_rows]
