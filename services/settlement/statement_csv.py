"""A statement as CSV (RFC 4180, UTF-8). Pure. The column `amount` adds up from the first to the last row of a bucket."""

import csv
import io
from collections.abc import Iterator

from schemas.money import format_amount
from schemas.plain_text import shown
from services.settlement.account_statement import Line, Section, Statement

COLUMNS = (
    "bucket",
    "currency",
    "date",
    "kind",
    "text",
    "reference",
    "project_id",
    "key_id",
    "model",
    "route_type",
    "run_id",
    "requests",
    "amount",
    "in_run",
    "owed",
    "key_name",
)
OPENS_A_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""Also in the full width that some spreadsheets read as the same."""


def as_csv(statement: Statement) -> bytes:
    """Opening balance, movements, what the reserves of runs paid (no part of the sum), closing balance, for each bucket."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for section in statement.sections:
        writer.writerows(_rows(statement, section))
    return text.getvalue().encode()


def safe(text: str) -> str:
    """A text that no spreadsheet takes for a formula, with what no name may hold written out."""
    plain = shown(text)
    return f"'{plain}" if plain.lstrip(" ").startswith(OPENS_A_FORMULA) else plain


def _rows(statement: Statement, section: Section) -> Iterator[list[str]]:
    yield _balance(section, statement.period.start.date().isoformat(), "opening_balance", section.opening_nano)
    for line in section.lines:
        yield _row(section, line, amount=format_amount(line.nano), in_run="")
    for line in section.in_runs:
        yield _row(section, line, amount="", in_run=format_amount(line.nano))
    last = statement.period.end if statement.period.complete else statement.generated_at
    yield _balance(section, last.date().isoformat(), "closing_balance", section.closing_nano)


def _balance(section: Section, day: str, kind: str, nano: int) -> list[str]:
    row = dict.fromkeys(COLUMNS, "")
    row |= {"bucket": safe(section.bucket), "currency": safe(section.currency), "date": day, "kind": kind}
    row["amount"] = format_amount(nano)
    return list(row.values())


def _row(section: Section, line: Line, *, amount: str, in_run: str) -> list[str]:
    words = (line.kind, line.text, line.reference, line.project_id, line.key_id, line.model, line.route_type, line.run_id)
    requests = str(line.requests) if line.requests else ""
    owed = format_amount(line.owed_nano) if line.owed_nano else ""
    first = [safe(section.bucket), safe(section.currency), line.day.isoformat()]
    return [*first, *(safe(word) for word in words), requests, amount, in_run, owed, safe(line.key_name)]
