"""The privileges that `roles.sql` grants are those that the service's statements need, and no statement needs more."""

import re

from services.settlement.statements import SQL_DIR

STATEMENTS = {path: path.read_text("utf-8") for path in SQL_DIR.glob("*.sql") if path.name not in {"schema.sql", "roles.sql"}}


def listed(name: str) -> set[str]:
    """The tables in one of the lists of `roles.sql`."""
    found = re.search(rf"{name} constant text\[\] := array\[(.*?)\];", (SQL_DIR / "roles.sql").read_text("utf-8"), re.DOTALL)
    assert found is not None
    return set(re.findall(r"'(\w+)'", found[1]))


def named_after(words: str) -> set[str]:
    """The tables that stand behind some words in the service's statements."""
    return {table for text in STATEMENTS.values() for table in re.findall(rf'\b{words} "?(\w+)', text)}


def test_every_table_that_a_statement_deletes_from_is_granted_for_it() -> None:
    assert named_after("delete from") <= listed("cleared")


def test_no_statement_changes_what_is_written_once() -> None:
    assert named_after("update") & listed("insert_only") == set()
    assert named_after("delete from") & listed("insert_only") == set()


def test_no_statement_needs_more_than_rows() -> None:
    assert named_after("truncate") | named_after("lock table") | named_after("alter table") == set()
