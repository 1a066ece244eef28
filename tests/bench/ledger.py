"""What the bench asks Postgres: how late postings were, and whether durability is on."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import psycopg

from tests.bench.quantiles import Quantiles, quantiles

_SQL = Path(__file__).with_name("ledger.sql")
TIMEOUT = "-c statement_timeout=120s"


def event_to_ledger(dsn: str, accounts: list[str], since_unix_s: float) -> Quantiles:
    """Lag of everything that the accounts had settled since then."""
    parameters = {"accounts": accounts, "since": datetime.fromtimestamp(since_unix_s, UTC)}
    with psycopg.connect(dsn, options=TIMEOUT) as connection:
        rows = connection.execute(_query("event_to_ledger"), parameters).fetchall()
    return quantiles([row[0] for row in rows])


def settings(dsn: str) -> dict[str, str]:
    """Postgres's version and the settings that decide whether a commit survives."""
    with psycopg.connect(dsn, options=TIMEOUT) as connection:
        return dict(connection.execute(_query("settings")).fetchall())


def _query(name: str) -> bytes:
    blocks = _SQL.read_text().split("-- name: ")
    return next(block.partition("\n")[2].encode() for block in blocks if block.partition("\n")[0] == name)
