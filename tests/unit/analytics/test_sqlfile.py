"""SQL files: named blocks, and scripts of statements."""

from services.analytics.sqlfile import queries, statements


def test_a_script_is_split_at_semicolons_that_end_a_line() -> None:
    script = "-- a table\nCREATE TABLE a\n(b String DEFAULT ';x');\n\nCREATE TABLE c;\n"
    assert statements(script) == ["CREATE TABLE a\n(b String DEFAULT ';x')", "CREATE TABLE c"]


def test_every_named_block_has_a_body() -> None:
    for file_name in ("queries.sql", "warehouse.sql"):
        found = queries(file_name)
        assert found
        assert all(found.values())
