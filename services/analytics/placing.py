"""Putting a recorded batch into ClickHouse once: its new rows into the raw tables, then what they come to into the rollups.

Rows that another batch brought already are left out, so that a rollup never counts an event twice, whoever wrote it twice.
A batch that is placed again (its process died) first looks for what is there: it brings what is missing and nothing else.
The deduplication tokens serve one case only, an insert of the process before that a server is still carrying out.
"""

from collections.abc import Collection, Iterable, Mapping

from services.analytics.batch import Batch
from services.analytics.keeping import oldest_us
from services.analytics.rollups import ROLLUPS, Rollup
from services.analytics.rows.decode import Decoded, Row
from services.analytics.rows.registry import TABLES
from services.analytics.rows.table import Table
from services.analytics.span import Span, month_of
from services.analytics.warehouse import Warehouse

OCCURRED_AT = TABLES[0].names.index("occurred_at")
"""Where every table has it: the envelope's columns come first."""
ATTEMPTS = 2
"""A server that died between noting a token and keeping its rows knows the token and has no rows: then another is taken."""


def leave_out_old(decoded: Decoded, keep_days: Mapping[str, int], now_s: float) -> int:
    """Leave out rows that their table would remove for their age; how many it left out."""
    left_out = 0
    for name in keep_days.keys() & decoded.rows.keys():
        oldest, rows = oldest_us(keep_days, name, now_s), decoded.rows[name]
        decoded.rows[name] = [row for row in rows if row[OCCURRED_AT] >= oldest]
        left_out += len(rows) - len(decoded.rows[name])
    return left_out


async def leave_out_known(warehouse: Warehouse, decoded: Decoded, batch_no: int) -> int:
    """Leave out rows of events that the store has from another batch, and the second of two in this one; how many it left out.

    The same records give the same rows however often the batch is placed, as its own rows do not count.
    """
    left_out = 0
    for table in TABLES:
        if rows := decoded.rows[table.name]:
            known = await warehouse.known(table, rows, batch_no)
            decoded.rows[table.name] = first_of_each(table, rows, known)
            left_out += len(rows) - len(decoded.rows[table.name])
    return left_out


def first_of_each(table: Table, rows: Iterable[Row], known: Collection[int]) -> list[Row]:
    """The first row of each event that is not known."""
    position = table.names.index("event_id")
    found: dict[int, Row] = {}
    for row in rows:
        if row[position] not in known:
            found.setdefault(row[position], row)
    return list(found.values())


async def place(warehouse: Warehouse, decoded: Decoded, batch: Batch, batch_no: int) -> None:
    """Place a batch that was never begun before."""
    for table in TABLES:
        if rows := decoded.rows[table.name]:
            await warehouse.insert(table, rows, batch_no, batch.token(table, batch_no))
    for rollup in ROLLUPS:
        if instants := _instants(rollup, decoded):
            await warehouse.add(rollup, batch_no, Span.of(instants), _token(rollup, batch_no))


async def place_again(warehouse: Warehouse, decoded: Decoded, batch: Batch, batch_no: int, *, attempts: int = ATTEMPTS) -> None:
    """Place a batch of which any part may be there."""
    for table in TABLES:
        for attempt in range(attempts):
            if rows := await _missing_rows(warehouse, table, decoded, batch_no):
                await warehouse.insert(table, rows, batch_no, batch.token(table, batch_no) + _again(attempt))
    for rollup in ROLLUPS:
        for attempt in range(attempts):
            for span in await _missing_months(warehouse, rollup, decoded, batch_no):
                await warehouse.add(rollup, batch_no, span, _token(rollup, batch_no) + _again(attempt))


async def _missing_rows(warehouse: Warehouse, table: Table, decoded: Decoded, batch_no: int) -> list[Row]:
    if not (rows := decoded.rows[table.name]):
        return []
    there = await warehouse.rows_of_batch(table, batch_no)
    return first_of_each(table, rows, there)


async def _missing_months(warehouse: Warehouse, rollup: Rollup, decoded: Decoded, batch_no: int) -> list[Span]:
    if not (instants := _instants(rollup, decoded)):
        return []
    wanted = {month_of(instant) for instant in instants}
    there = await warehouse.months_with(rollup, batch_no)
    return [span for month, span in Span.of(instants).months() if month in wanted - there]


def _instants(rollup: Rollup, decoded: Decoded) -> list[int]:
    """The instants of the rows that the rollup sums up."""
    names = rollup.source.names
    kind, at = names.index("type"), names.index("occurred_at")
    return [row[at] for row in decoded.rows[rollup.source.name] if row[kind] in rollup.types]


def _token(rollup: Rollup, batch_no: int) -> str:
    return f"{batch_no}:{rollup.table}"


def _again(attempt: int) -> str:
    return f":again-{attempt}" if attempt else ""
