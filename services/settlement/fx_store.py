"""Exchange rates in Postgres: never edited, superseded by a later row of the same pair and day."""

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from typing import Any

import psycopg
from psycopg.rows import TupleRow, dict_row

from services.settlement.fx import LATEST_DAYS, Rate, RateLine, Rates
from services.settlement.refusals import utc_text
from services.settlement.statements import statements

Connection = psycopg.Connection[TupleRow]
Key = tuple[str, str, date]


def set_rates(connection: Connection, lines: Sequence[RateLine], *, author: str) -> list[tuple[Rate | None, Rate]]:
    """Put rates in force, within the caller's transaction. Returns what each changed of; the same again changes nothing."""
    connection.execute(statements("fx.sql")["lock_rates"])
    wanted = {_key(line): Rate(*_key(line), line.rate, line.source) for line in lines}
    before = {rate[:3]: rate for rate in _rates_of(connection, wanted)}
    changed = [(before.get(key), rate) for key, rate in wanted.items() if before.get(key) != rate]
    if changed:
        new = [rate for _, rate in changed]
        texts = {"rates": [rate.rate for rate in new], "sources": [rate.source for rate in new]}
        connection.execute(statements("fx.sql")["set_rates"], {**_columns(rate[:3] for rate in new), **texts, "author": author})
    return changed


def read_rates(connection: Connection, currencies: Iterable[str], since: date, until: date) -> Rates:
    """What counts for the days of a report."""
    asked = {"currencies": list(currencies), "since": since - timedelta(days=LATEST_DAYS), "until": until}
    return Rates(Rate(*row) for row in connection.execute(statements("fx.sql")["rates_in_force"], asked))


def listed(connection: Connection, **asked: Any) -> list[dict[str, Any]]:
    """Rates, the last set first: those in force, or with `history` all."""
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(statements("fx.sql")["rates"], asked).fetchall()
    return [
        {
            "id": row["id"],
            "from": row["from_currency"],
            "to": row["to_currency"],
            "date": row["day"].isoformat(),
            "rate": row["rate"],
            "source": row["source"],
            "author": row["author"],
            "set_at": utc_text(row["set_at"]),
            "superseded_at": utc_text(row["superseded_at"]),
        }
        for row in rows
    ]


def _rates_of(connection: Connection, keys: Iterable[Key]) -> list[Rate]:
    return [Rate(*row) for row in connection.execute(statements("fx.sql")["rates_of"], _columns(keys))]


def _key(line: RateLine) -> Key:
    return (line.from_currency, line.to_currency, line.day)


def _columns(keys: Iterable[Key]) -> dict[str, list[Any]]:
    listed_keys = list(keys)
    return {
        "from_currencies": [key[0] for key in listed_keys],
        "to_currencies": [key[1] for key in listed_keys],
        "days": [key[2] for key in listed_keys],
    }
