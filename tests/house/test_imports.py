"""Importing a module reads no environment and makes no settings; only the wiring does, when it is called."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.tracked import python_files, tree

ENVIRONMENT = {"environ", "environb", "getenv"}
PRODUCT = ("services", "schemas", "deploy")


def runs_at_import(node: ast.AST) -> Iterator[ast.AST]:
    """Every node that is evaluated when its module is imported: bodies of functions are not, their defaults are."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        parts: list[ast.AST] = [*node.args.defaults, *(part for part in node.args.kw_defaults if part is not None)]
        parts += [] if isinstance(node, ast.Lambda) else node.decorator_list
    elif isinstance(node, ast.If) and "__main__" in ast.dump(node.test):
        parts = []
    else:
        parts = list(ast.iter_child_nodes(node))
    yield node
    for part in parts:
        yield from runs_at_import(part)


def reads_environment(node: ast.AST) -> bool:
    """Whether a node reads the environment or makes a settings object."""
    if isinstance(node, ast.Attribute):
        return node.attr in ENVIRONMENT
    if isinstance(node, ast.Name):
        return node.id in ENVIRONMENT
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id.endswith("Settings")


def places(path: Path, module: ast.Module) -> list[str]:
    """Where a module reads the environment while it is imported."""
    return [f"{path}:{getattr(node, 'lineno', 0)}" for node in runs_at_import(module) if reads_environment(node)]


def test_no_module_reads_the_environment_or_its_settings_at_import() -> None:
    assert [place for path in python_files(*PRODUCT) for place in places(path, tree(path))] == []


@pytest.mark.parametrize(
    "source",
    [
        "import os\nURL = os.environ['URL']",
        "from os import getenv\nURL = getenv('URL')",
        "settings = Settings()",
        "def f(settings=Settings()): ...",
        "class A:\n    url = os.environ.get('URL')",
    ],
)
def test_the_rule_sees_a_read_at_import(source: str) -> None:
    assert places(Path("x.py"), ast.parse(source)) != []


@pytest.mark.parametrize(
    "source",
    ["def main():\n    return Settings()", "class A:\n    def f(self): return os.environ['URL']", "class Settings: ..."],
)
def test_the_rule_allows_a_read_in_a_call(source: str) -> None:
    assert places(Path("x.py"), ast.parse(source)) == []
