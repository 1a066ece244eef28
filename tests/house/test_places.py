"""SQL lies in `.sql` files, metrics in `metrics.py`."""

import ast
import re
from pathlib import Path

import pytest

from tests.house.tracked import python_files, tree

STATEMENT = re.compile(
    r"^\s*(SELECT\s.*|INSERT\s+INTO\s.*|UPDATE\s+[\w.\"]+\s+SET\s.*|DELETE\s+FROM\s.*|WITH\s+\w+\s+AS\s*\(.*"
    r"|CREATE\s+(TABLE|INDEX|UNIQUE|FUNCTION|VIEW|MATERIALIZED)\s.*|ALTER\s+TABLE\s.*|OPTIMIZE\s+TABLE\s.*)",
    re.DOTALL,
)
MAX_REMARK = 90
"""A statement that is shorter, on one line, may stand where it is used: `SELECT 1` needs no file."""
METRIC_TYPES = {"Counter", "Gauge", "Histogram", "Summary", "Info", "Enum"}


def statements(module: ast.Module) -> list[int]:
    """Lines of text constants that are SQL statements worth a name."""
    constants = [node for node in ast.walk(module) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    found = [node for node in constants if STATEMENT.match(str(node.value))]
    return [node.lineno for node in found if len(str(node.value)) > MAX_REMARK or "\n" in str(node.value).strip()]


def metrics(module: ast.Module) -> list[int]:
    """Lines that make a metric."""
    imported = {
        alias.asname or alias.name
        for node in ast.walk(module)
        if isinstance(node, ast.ImportFrom) and node.module == "prometheus_client"
        for alias in node.names
        if alias.name in METRIC_TYPES
    }
    return [
        node.lineno
        for node in ast.walk(module)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in imported
    ]


def test_services_keep_their_sql_in_sql_files() -> None:
    assert [f"{path}:{line}" for path in python_files("services") for line in statements(tree(path))] == []


def test_services_declare_every_metric_in_metrics_py() -> None:
    elsewhere = [path for path in python_files("services") if path.name != "metrics.py"]
    assert [f"{path}:{line}" for path in elsewhere for line in metrics(tree(path))] == []


def test_every_service_with_metrics_names_them_after_itself() -> None:
    named = [
        (path, node.args[0].value)
        for path in python_files("services")
        if path.name == "metrics.py"
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call)
        and node.args
        and isinstance(node.args[0], ast.Constant)
        and isinstance(node.func, ast.Name)
        if node.func.id in METRIC_TYPES
    ]
    assert [(path, name) for path, name in named if not str(name).startswith(f"tollbook_{Path(path).parts[1]}_")] == []


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT a\nFROM b",
        "INSERT INTO t (a)\nVALUES (1)",
        "\n  UPDATE edge.account SET frozen = true\n  WHERE account_id = %s\n",
        "WITH a AS (SELECT 1)\nSELECT * FROM a",
        "SELECT " + ", ".join(f"column_{number}" for number in range(20)) + " FROM t",
    ],
)
def test_the_rule_sees_a_statement(sql: str) -> None:
    assert statements(ast.parse(f"QUERY = {sql!r}")) == [1]


@pytest.mark.parametrize("words", ["Select a model", "Update the route table\n" * 9, "With care", "SELECT 1"])
def test_the_rule_lets_words_be(words: str) -> None:
    assert statements(ast.parse(f"TEXT = {words!r}")) == []


def test_the_rule_sees_a_metric() -> None:
    assert metrics(ast.parse("from prometheus_client import Counter as C\nX = C('a', 'b')")) == [2]
