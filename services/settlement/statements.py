"""SQL by name: the blocks of `sql/*.sql` that begin with `-- name: something`."""

import re
from functools import cache
from pathlib import Path
from typing import LiteralString, cast

SQL_DIR = Path(__file__).parent / "sql"
_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


@cache
def statements(file: str = "queries.sql") -> dict[str, LiteralString]:
    """Every named block of one file under `sql/`."""
    parts = _NAME.split((SQL_DIR / file).read_text("utf-8"))
    return {name: cast(LiteralString, text.strip().rstrip(";")) for name, text in zip(parts[1::2], parts[2::2], strict=True)}


def statement(name: str) -> LiteralString:
    """One named block of `queries.sql`. Raises KeyError for a name that is not there."""
    return statements()[name]
