"""The system account that runs Postgres, which refuses to run as root."""

import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from deploy.local.errors import StepFailedError

NAME = "tollbook"


@dataclass(frozen=True, kw_only=True)
class Account:
    """Who runs Postgres: `name` is None for the current, unprivileged user."""

    name: str | None = None
    uid: int | None = None
    gid: int | None = None

    def can_reach(self, path: Path) -> bool:
        """Tell whether this account may enter every directory above `path`, and `path` itself."""
        if self.name is None:
            return True
        return all(parent.stat().st_mode & 0o001 for parent in (path, *path.parents) if parent.exists())

    def own(self, path: Path) -> None:
        """Make the path this account's own and closed to others."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)
        path.chmod(0o700 if path.is_dir() else 0o600)

    def run(self, command: list[str], timeout_s: float) -> None:
        """Run a command as this account; raises StepFailedError with its output when it fails."""
        done = subprocess.run(
            command,
            user=self.uid,
            group=self.gid,
            extra_groups=None if self.uid is None else [],
            cwd="/",
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        if done.returncode != 0:
            raise StepFailedError(f"{Path(command[0]).name} failed", done.stdout + done.stderr)


def unprivileged() -> Account:
    """Return the current user, or for root the system account `tollbook`, created when it is missing."""
    if os.geteuid() != 0:
        return Account()
    try:
        entry = pwd.getpwnam(NAME)
    except KeyError:
        _create()
        entry = pwd.getpwnam(NAME)
    return Account(name=NAME, uid=entry.pw_uid, gid=entry.pw_gid)


def _create() -> None:
    if useradd := shutil.which("useradd"):
        command = [useradd, "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", NAME]
    elif adduser := shutil.which("adduser"):
        command = [adduser, "-S", "-D", "-H", NAME]
    else:
        raise StepFailedError(f"Postgres refuses to run as root: create a system user `{NAME}`, or run as another user")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise StepFailedError(f"the system user `{NAME}` could not be created", done.stderr)
