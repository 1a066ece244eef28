"""A file that a person wrote, with `${NAME}` filled in from the environment."""

import re
import sys
from collections.abc import Mapping
from pathlib import Path

from services.console.errors import BadFileError

PLACEHOLDER = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
STDIN = Path("-")


def filled(file: Path, names: Mapping[str, str]) -> str:
    """The text with every name filled in; `-` is standard input. Raises BadFileError for a name that is not set."""
    what = "standard input" if file == STDIN else str(file)
    try:
        text = (sys.stdin.buffer.read() if file == STDIN else file.read_bytes()).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadFileError(f"{what} cannot be read: {error}") from error
    lines = text.splitlines(keepends=True)
    for number, line in enumerate(lines, start=1):
        if line.lstrip().startswith("#"):
            continue
        missing = next((name for name in PLACEHOLDER.findall(line) if name not in names), None)
        if missing is not None:
            raise BadFileError(f"{what}, line {number}: {missing} is not set: set it in the environment")
        lines[number - 1] = PLACEHOLDER.sub(lambda match: names[match[1]], line)
    return "".join(lines)
