"""Statements and the history of top-ups, read from the ledger in one snapshot."""

from datetime import datetime, timedelta
from typing import Any, LiteralString
from uuid import UUID

import psycopg
import structlog
from psycopg.rows import TupleRow, dict_row

from services.settlement import metrics
from services.settlement.account_statement import (
    Line,
    Period,
    Section,
    Statement,
    StatementError,
    charge_lines,
    other_lines,
    period,
)
from services.settlement.database import snapshot
from services.settlement.errors import InvalidError, NotFoundError
from services.settlement.refusals import utc_text
from services.settlement.sequence import last_before
from services.settlement.statements import statements

log = structlog.get_logger(__name__)
Connection = psycopg.Connection[TupleRow]
TIMEOUT_MS = 60_000
MOST_LINES = 50_000
SLACK = timedelta(minutes=10)
"""Moves are numbered when their bucket is locked and dated when they are written: never this far apart."""


def read_statement(connection: Connection, holder: str, month: str, bucket: str | None, *, now: datetime) -> Statement:
    """The account's statement of a month (YYYY-MM), of every bucket or of one.

    Raises InvalidError (no such month, too many lines), NotFoundError (no such bucket), StatementError where it does not add
    up.
    """
    asked = period(month, now)
    with snapshot(connection):
        connection.execute(_sql("allow_time"), {"timeout_ms": str(TIMEOUT_MS)})
        rows = connection.execute(_sql("statement_buckets"), {"holder": holder, "bucket": bucket}).fetchall()
        if bucket is not None and not rows:
            raise NotFoundError(f"account {holder} has no bucket {bucket}", code="bucket_not_found", param="bucket")
        sections = [_Reader(connection, holder, row[0], asked).section(row[1], row[2]) for row in rows]
    for section in sections:
        _require_sound(holder, asked, section)
    return Statement(account_id=holder, period=asked, generated_at=now, sections=sections)


def top_ups(connection: Connection, holder: str, *, after: UUID | None, limit: int) -> dict[str, Any]:
    """A page of the account's top-ups, newest first; `next_after` is the `after` of the next page, None at the end."""
    asked = {"holder": holder, "after": after, "limit": limit + 1}
    rows = connection.execute(statements("money.sql")["topups"], asked).fetchall()
    page = [_top_up(*row) for row in rows[:limit]]
    return {"object": "list", "data": page, "next_after": page[-1]["txn_id"] if len(rows) > limit else None}


def _top_up(  # noqa: PLR0917 - the columns of `topups`
    txn_id: UUID, at: datetime, idem_key: str, detail: dict[str, Any], taken: int, given: int
) -> dict[str, Any]:
    _, provider, payment_id = idem_key.split(":", 2)
    return {
        "txn_id": str(txn_id),
        "at": utc_text(at),
        "provider": detail.get("provider", provider),
        "payment_id": detail.get("payment_id", payment_id),
        "bucket": detail["bucket"],
        "currency": detail["currency"],
        "amount": detail["amount"],
        "amount_nano": detail["amount_nano"],
        "repaid_nano": detail["repaid_nano"],
        "taken_back_nano": taken,
        "reinstated_nano": given,
    }


class _Reader:
    """Reads one bucket's month."""

    def __init__(self, connection: Connection, holder: str, account: int, asked: Period) -> None:
        self._connection = connection
        self._holder = holder
        self._account = account
        self._asked = asked
        highest = connection.execute(_sql("highest_move"), {"account": account}).fetchone()
        assert highest is not None
        self._highest: int = highest[0]

    def section(self, bucket: str, currency: str) -> Section:
        """The bucket's part of the statement."""
        opening, first, _ = self._around(self._asked.start)
        closing, _, last = self._around(self._asked.end)
        span = {"account": self._account, "first": first, "last": last}
        lines = charge_lines(self._rows("charges", span)) + other_lines(self._rows("other_movements", span))
        in_runs = charge_lines(self._rows("charges_in_runs", {"holder": self._holder, "bucket": bucket}))
        return Section(
            bucket=bucket,
            currency=currency,
            opening_nano=opening,
            closing_nano=closing,
            lines=sorted(lines, key=_order),
            in_runs=in_runs,
        )

    def _around(self, instant: datetime) -> tuple[int, int, int]:
        """The balance at an instant, and the moves between which it lies for certain."""
        sure = last_before(self._probe, instant - SLACK, self._highest)
        doubtful = last_before(self._probe, instant + SLACK, self._highest)
        asked = {"account": self._account, "sure": sure, "doubtful": doubtful, "instant": instant}
        row = self._connection.execute(_sql("balance_at"), asked).fetchone()
        assert row is not None
        return row[0], sure, doubtful

    def _probe(self, seq: int) -> tuple[int, datetime] | None:
        row = self._connection.execute(_sql("move_at"), {"account": self._account, "seq": seq}).fetchone()
        return None if row is None else (row[0], row[1])

    def _rows(self, name: str, asked: dict[str, Any]) -> list[dict[str, Any]]:
        times = {"start": self._asked.start, "end": self._asked.end, "limit": MOST_LINES + 1}
        with self._connection.cursor(row_factory=dict_row) as cursor:
            rows = cursor.execute(_sql(name), {**asked, **times}).fetchall()
        if len(rows) > MOST_LINES:
            raise InvalidError(
                f"the month has more than {MOST_LINES} lines: read the postings instead", code="statement_too_long"
            )
        return rows


def _order(line: Line) -> tuple[object, ...]:
    return line.day, line.kind != "top_up", line.kind, line.project_id, line.key_id, line.model


def _require_sound(holder: str, asked: Period, section: Section) -> None:
    try:
        section.require_sound()
    except StatementError as error:
        metrics.STATEMENTS_REFUSED.inc()
        log.error("statement_does_not_add_up", account_id=holder, month=asked.name, detail=error.message)  # noqa: TRY400 - what
        # happened is in the message; the trace says nothing more
        raise


def _sql(name: str) -> LiteralString:
    return statements("statement.sql")[name]
