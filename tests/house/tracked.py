"""The files of the repository, as the house tests look at them."""

import ast
import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]


@cache
def files() -> tuple[Path, ...]:
    """Every tracked file that still exists, relative to the repository's root."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    return tuple(Path(name) for name in sorted(filter(None, listed.split("\0"))) if (ROOT / name).is_file())


def python_files(*roots: str) -> list[Path]:
    """Tracked Python files, all or those under the given folders."""
    return [path for path in files() if path.suffix == ".py" and (not roots or path.parts[0] in roots)]


@cache
def text(path: Path) -> str:
    """A file's text; what is not UTF-8 is replaced."""
    return (ROOT / path).read_text("utf-8", errors="replace")


@cache
def tree(path: Path) -> ast.Module:
    """A Python file's syntax tree."""
    return ast.parse(text(path), str(path))
