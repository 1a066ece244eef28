"""Reads an invoice from a CSV file. Rows that mean nothing are named by their line, and the rest is used."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from services.console.errors import BadFileError
from services.console.reconcile.invoice import FORMATS, BadRowError, Columns, Line, Reader

MOST_ROWS = 5_000_000
FIELDS = ("ids", "at", "day", "model", "requests", "prompt", "output", "cost", "currency")


@dataclass(frozen=True)
class InvoiceFile:
    """The lines of a file, and the rows that could not be used: (line, what is wrong)."""

    lines: list[Line]
    bad: list[tuple[int, str]]
    has_ids: bool
    unused: tuple[str, ...] = ()
    """Columns of the file that mean nothing here."""


def read_invoice(path: Path, columns: Columns) -> InvoiceFile:
    """The invoice in the file. Raises BadFileError for a file that is no such invoice."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            reader = Reader(columns, rows.fieldnames or ())
            if reader.missing:
                raise BadFileError(
                    f"{path} has no column for {', '.join(reader.missing)}: it has {', '.join(reader.header) or 'none'}. "
                    "Choose another --provider or --format, or name the column with --column FIELD=NAME"
                )
            lines: list[Line] = []
            bad: list[tuple[int, str]] = []
            for row in rows:
                if len(lines) + len(bad) >= MOST_ROWS:
                    raise BadFileError(f"{path} has more than {MOST_ROWS} rows: split it")
                _take(reader, rows.line_num, row, lines, bad)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadFileError(f"{path} cannot be read as CSV in UTF-8: {error}") from error
    return InvoiceFile(lines, bad, reader.has_ids, reader.unused)


def _take(reader: Reader, number: int, row: Mapping[str | None, object], lines: list[Line], bad: list[tuple[int, str]]) -> None:
    if None in row or any(value is None for value in row.values()):
        bad.append((number, "it has more or fewer fields than the header"))
        return
    try:
        lines.append(reader.line(number, {str(name): str(value) for name, value in row.items()}))
    except BadRowError as error:
        bad.append((number, str(error)))


def columns_of(chosen: str, named: Mapping[str, str], currency: str | None) -> Columns:
    """The columns of a format, with the names that the caller gave. Raises BadFileError."""
    columns = FORMATS.get(chosen, FORMATS["generic"])
    for field, name in named.items():
        if field not in FIELDS:
            raise BadFileError(f"there is no field {field!r}: the fields are {', '.join(FIELDS)}")
        names: Any = {field: (name.strip().lower(),)}
        columns = replace(columns, **names)
        if field == "prompt":
            columns = replace(columns, input_parts=())
    return columns if currency is None else replace(columns, default_currency=currency.upper())
