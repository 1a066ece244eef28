"""The history of price books: what each version was or will be, and taking one back before it counts."""

from typing import Any

import psycopg
from psycopg.rows import TupleRow, dict_row

from services.settlement.book_store import LEAD_S, nudge
from services.settlement.entries import Outbox
from services.settlement.errors import ConflictError, NotFoundError
from services.settlement.refusals import utc_text
from services.settlement.statements import statements

Connection = psycopg.Connection[TupleRow]
Row = dict[str, Any]


def listed(connection: Connection, *, after: int | None, limit: int) -> list[Row]:
    """Versions below `after`, the newest first."""
    return [_described(row) for row in _rows(connection, version=None, after=after, limit=limit)]


def described(connection: Connection, version: int) -> Row:
    """One version without its prices. Raises NotFoundError."""
    rows = _rows(connection, version=version, after=None, limit=1)
    if not rows:
        raise unknown(version)
    return _described(rows[0])


def withdraw(connection: Connection, version: int, *, reason: str, author: str) -> tuple[Row, bool]:
    """Take a book back that is not in force yet. Returns it and whether it was there until now.

    Raises NotFoundError, or ConflictError once it counts.
    """
    with connection.transaction():
        connection.execute(statements("prices.sql")["lock_price_books"])
        found = described(connection, version)
        if found["status"] == "withdrawn":
            return found, False
        standing = {"version": version, "reason": reason, "author": author, "lead_s": LEAD_S}
        if connection.execute(statements("prices.sql")["withdraw_price_book"], standing).rowcount == 0:
            raise ConflictError(
                f"version {version} is {found['status'].replace('_', ' ')}, or will be within {LEAD_S} s: "
                "holds are priced by it, so publish another book instead",
                code="price_book_counts",
                param="version",
            )
        outbox = Outbox()
        nudge(outbox, listed(connection, after=None, limit=1)[0]["version"])
        connection.execute(statements("settle.sql")["write_outbox"], outbox.parameters())
        return described(connection, version), True


def unknown(version: int) -> NotFoundError:
    """The answer to a version that was never published."""
    return NotFoundError(f"there is no price book {version}: `GET /admin/price-books` lists them", code="price_book_not_found")


def _rows(connection: Connection, **asked: int | None) -> list[Row]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(statements("prices.sql")["price_books"], asked).fetchall()


def _described(row: Row) -> Row:
    in_force_from = row["effective_from"] or row["published_at"]
    status = _status(row)
    return {
        "version": row["version"],
        "sha256": row["sha256"],
        "status": status,
        "items": row["items"],
        "in_force_from": utc_text(in_force_from) if status != "withdrawn" else None,
        "in_force_until": utc_text(row["until"]) if status != "withdrawn" else None,
        "effective_from": utc_text(row["effective_from"]),
        "published_at": utc_text(row["published_at"]),
        "author": row["author"],
        "withdrawn_at": utc_text(row["withdrawn_at"]),
        "withdrawn_by": row["withdrawn_by"],
        "withdrawn_because": row["withdrawn_because"],
    }


def _status(row: Row) -> str:
    if row["withdrawn_at"] is not None:
        return "withdrawn"
    if row["ahead"]:
        return "scheduled"
    return "in_force" if row["version"] == row["in_force"] else "superseded"
