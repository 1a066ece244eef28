"""How long rows are kept in ClickHouse, per table. Nothing is removed unless a setting says so.

Kafka and Postgres keep the books; ClickHouse's copies may be limited, but for `ledger`. The loader takes no event that its
table would remove: an old topic that is read again adds nothing to rollups that still count what the raw table has forgotten.
"""

import re
from collections.abc import Mapping

from clickhouse_connect.driver.client import Client

from services.analytics.layout import Layout
from services.analytics.rollups import ROLLUPS
from services.analytics.rows.registry import TABLES
from services.analytics.span import DAY_US
from services.analytics.sqlfile import queries

KEPT_FOR_EVER = frozenset({"ledger"})
SHORTEST_DAYS = 2
INSTANTS: Mapping[str, str] = {
    **{table.name: "occurred_at" for table in TABLES},
    **{rollup.table: "at" for rollup in ROLLUPS},
}
"""Table → the column that tells a row's age."""
_TTL = re.compile(r"toIntervalDay\((\d+)\)")


def check(keep_days: Mapping[str, int]) -> Mapping[str, int]:
    """The same, if every name is a table that may be limited and every number is enough. Raises ValueError."""
    allowed = sorted(INSTANTS.keys() - KEPT_FOR_EVER)
    for name, days in keep_days.items():
        if name in KEPT_FOR_EVER:
            raise ValueError(f"{name} is kept for ever: take it out of TOLLBOOK_CLICKHOUSE_KEEP_DAYS")
        if name not in allowed:
            raise ValueError(f"there is no table {name!r}: name one of {', '.join(allowed)}")
        if days < SHORTEST_DAYS:
            raise ValueError(f"{name}: keep {SHORTEST_DAYS} days or more")
    return keep_days


def oldest_us(keep_days: Mapping[str, int], table: str, now_s: float) -> int:
    """Microseconds since 1970 before which the table takes no event: a day before it would be removed. 0 if it keeps all.

    The beginning of a day, so that a batch that is placed again soon after has the same rows.
    """
    if table not in keep_days:
        return 0
    today = int(now_s * 1_000_000) // DAY_US
    return (today - keep_days[table] + 1) * DAY_US


def apply(client: Client, keep_days: Mapping[str, int], layout: Layout) -> list[str]:
    """Make the tables keep rows as long as they should; the statements that it took."""
    found = client.query(queries("warehouse.sql")["engines_of_tables"]).result_rows
    present = {name: _days_in(engine) for name, engine in found if name in INSTANTS}
    wanted = {name: keep_days.get(name) for name in present}
    changes = [layout.of(_change(name, wanted[name])) for name in sorted(present) if wanted[name] != present[name]]
    for change in changes:
        client.command(change)
    return changes


def _days_in(engine: str) -> int | None:
    found = _TTL.search(engine)
    return int(found[1]) if found else None


def _change(table: str, days: int | None) -> str:
    if days is None:
        return f"ALTER TABLE {table} REMOVE TTL"
    return f"ALTER TABLE {table} MODIFY TTL toDateTime({INSTANTS[table]}) + toIntervalDay({days})"
