"""The named blocks of `sql/*.sql`."""

import re
from functools import cache
from pathlib import Path

SQL_DIR = Path(__file__).parent / "sql"
STATEMENT_FILES = ("queries.sql", "access.sql")
_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


@cache
def queries(*files: str) -> dict[str, bytes]:
    """Every statement by its name, of these files or of those that the stores use. Raises ValueError for a name given twice."""
    found: dict[str, bytes] = {}
    for file in files or STATEMENT_FILES:
        parts = _NAME.split((SQL_DIR / file).read_text("utf-8"))
        for name, body in zip(parts[1::2], parts[2::2], strict=True):
            if name in found:
                raise ValueError(f"sql/{file} gives the name {name} once more")
            found[name] = body.strip().rstrip(";").encode()
    return found
