"""The named blocks of `sql/*.sql`."""

import re
from functools import cache
from pathlib import Path

SQL_DIR = Path(__file__).parent / "sql"
_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


@cache
def queries(file: str = "queries.sql") -> dict[str, bytes]:
    """Every statement of a file by its name. Raises ValueError for a name that is given twice."""
    parts = _NAME.split((SQL_DIR / file).read_text("utf-8"))
    names, bodies = parts[1::2], parts[2::2]
    if len(set(names)) != len(names):
        raise ValueError(f"sql/{file} gives a name twice")
    return {name: body.strip().rstrip(";").encode() for name, body in zip(names, bodies, strict=True)}
