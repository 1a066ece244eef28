"""Which table takes which event."""

from services.analytics.rows.alerts import ALERTS
from services.analytics.rows.attempts import ATTEMPTS
from services.analytics.rows.completions import COMPLETIONS
from services.analytics.rows.ledger import LEDGER
from services.analytics.rows.requests import REQUESTS
from services.analytics.rows.table import Table

TABLES: tuple[Table, ...] = (REQUESTS, ATTEMPTS, COMPLETIONS, LEDGER, ALERTS)
"""Every table, in the order in which a batch is inserted."""

TOPICS: tuple[str, ...] = tuple(dict.fromkeys(table.topic for table in TABLES))
"""The topics that the loader reads."""

TABLE_OF: dict[tuple[str, str], Table] = {(table.topic, kind): table for table in TABLES for kind in table.fillers}
"""(topic, event type) → table."""


def tables_of(topic: str) -> tuple[Table, ...]:
    """The tables that together hold one topic."""
    return tuple(table for table in TABLES if table.topic == topic)
