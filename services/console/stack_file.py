"""Reads a stack's own file: `stack.json` in `TOLLBOOK_HOME`, or in `.tollbook` of the checkout."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from services.console.errors import BadFileError

CHECKOUT = Path(__file__).resolve().parents[2]


def stack_file(environ: Mapping[str, str]) -> Path:
    """The file that describes the stack of this checkout, whether it is there or not."""
    return Path(environ.get("TOLLBOOK_HOME") or CHECKOUT / ".tollbook") / "stack.json"


def read_stack(path: Path) -> dict[str, Any]:
    """What the file says; empty when there is none. Raises BadFileError for one that is no JSON object."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise BadFileError(f"{path} cannot be read ({error}): `make up` writes it anew") from error
    if not isinstance(found, dict):
        raise BadFileError(f"{path} holds no JSON object: `make up` writes it anew")
    return found
