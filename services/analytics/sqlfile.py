"""SQL lives in `.sql` files, under names: a block begins with `-- name: …` and ends before the next."""

import re
from functools import cache
from pathlib import Path

SQL_DIR = Path(__file__).parent / "sql"
_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


@cache
def queries(file_name: str) -> dict[str, str]:
    """The named blocks of `sql/<file_name>`."""
    return named_blocks((SQL_DIR / file_name).read_text("utf-8"))


def named_blocks(text: str) -> dict[str, str]:
    """The named blocks of a text."""
    parts = _NAME.split(text)
    return {name: body.strip() for name, body in zip(parts[1::2], parts[2::2], strict=True)}


def statements(text: str) -> list[str]:
    """The statements of a script, each ended by a semicolon at a line's end. Comment lines are dropped."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("--")]
    return [part.strip() for part in re.split(r";\s*$", "\n".join(lines), flags=re.MULTILINE) if part.strip()]
