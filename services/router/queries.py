"""The named blocks of `sql/queries.sql`."""

import re
from functools import cache
from pathlib import Path

SQL_DIR = Path(__file__).parent / "sql"
_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


@cache
def queries() -> dict[str, bytes]:
    """Every statement by its name. Raises ValueError for a name that is given twice."""
    parts = _NAME.split((SQL_DIR / "queries.sql").read_text("utf-8"))
    names, bodies = parts[1::2], parts[2::2]
    if len(set(names)) != len(names):
        raise ValueError("sql/queries.sql gives a name twice")
    return {name: body.strip().rstrip(";").encode() for name, body in zip(names, bodies, strict=True)}
