"""The SQL file and the code name the same statements."""

import re
from pathlib import Path

from services import edge
from services.edge.admin_store import ID_COLUMNS
from services.edge.queries import queries

SOURCES = "\n".join(path.read_text("utf-8") for path in Path(edge.__file__).parent.glob("*.py"))
BY_KIND = {
    f"{verb}_{kind}{'s' if verb == 'list' else ''}"
    for verb in ("insert", "get", "list", "freeze", "set_policy_of", "lock", "change", "lock_row_of", "account_of")
    for kind in ID_COLUMNS
} | {f"{kind}_{what}" for what in ("ids", "standings") for kind in ID_COLUMNS}


def test_every_statement_is_used() -> None:
    unused = {name for name in queries() if f'"{name}"' not in SOURCES} - BY_KIND
    assert unused == set()


def test_every_used_statement_exists() -> None:
    used = set(re.findall(r"(?:rows_of\(\s*connection,|database\.rows?\()\s*\"(\w+)\"", SOURCES))
    assert used | BY_KIND <= queries().keys()
    assert used


def test_statements_hold_no_semicolon_that_would_make_two() -> None:
    assert [name for name, text in queries().items() if b";" in text] == []
