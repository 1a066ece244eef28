"""The directory that holds one stack: its data, its secrets, its logs and what it chose."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.local.errors import StackError

CHECKOUT = Path(__file__).resolve().parents[2]
# A socket's path has room for 108 bytes on Linux and 104 on macOS.
LONGEST_SOCKET_PATH = 100
KEPT = ("logs", "data", "postgres", "kafka", "env", "stack.json", "seed.json", "ports.json", "lock", "supervisord.conf")
UNWRITABLE = frozenset('%#;"\n')
# Where Postgres's account keeps what it cannot reach in the home.
OUTSIDE = Path("/var/lib/tollbook")


@dataclass(frozen=True)
class Home:
    """Paths of one stack. Nothing is created before `make`."""

    path: Path

    def make(self) -> None:
        """Create the directories; others may pass through (Postgres's account does) but not look.

        Raises StackError for a path that a supervisord settings file cannot hold.
        """
        if odd := UNWRITABLE & set(str(self.path)):
            raise StackError(f"set TOLLBOOK_HOME to a path without {' '.join(sorted(odd))}: {self.path}")
        for directory in (self.path, self.logs, self.data):
            directory.mkdir(parents=True, exist_ok=True)
        self.path.chmod(0o711)

    def remove(self) -> None:
        """Remove what stacks keep here, and the directory itself unless somebody else keeps things in it too."""
        shutil.rmtree(self.outside, ignore_errors=True)
        with suppress(OSError):  # other homes may have theirs beside it
            OUTSIDE.rmdir()
        for name in KEPT:
            entry = self.path / name
            if entry.is_dir():
                shutil.rmtree(entry)
            else:
                entry.unlink(missing_ok=True)
        if self.path.is_dir() and not any(self.path.iterdir()):
            self.path.rmdir()

    @property
    def logs(self) -> Path:
        """Return the directory of `<process>.log`."""
        return self.path / "logs"

    @property
    def data(self) -> Path:
        """Return the directory of each service's own TOLLBOOK_DATA_DIR."""
        return self.path / "data"

    @property
    def checkpoint_file(self) -> Path:
        """Return the file of the ledger's signed checkpoints, kept beside the database and not in it."""
        return self.data / "checkpoints.jsonl"

    @property
    def objects(self) -> Path:
        """Return the directory that is the stack's object storage: the files of batches."""
        return self.data / "objects"

    @property
    def secrets_file(self) -> Path:
        """Return the file of the generated secrets, mode 600."""
        return self.path / "env"

    @property
    def stack_file(self) -> Path:
        """Return the file that names every URL, DSN and demo credential, mode 600."""
        return self.path / "stack.json"

    @property
    def seed_file(self) -> Path:
        """Return the file that remembers what was seeded, mode 600."""
        return self.path / "seed.json"

    @property
    def ports_file(self) -> Path:
        """Return the file of the chosen ports."""
        return self.path / "ports.json"

    @property
    def lock_file(self) -> Path:
        """Return the file that `up` and `down` lock, so that one of them runs at a time."""
        return self.path / "lock"

    @property
    def supervisor_config(self) -> Path:
        """Return supervisord's settings file."""
        return self.path / "supervisord.conf"

    @property
    def supervisor_pid(self) -> Path:
        """Return supervisord's pid file."""
        return self.path / "supervisord.pid"

    @property
    def supervisor_socket(self) -> Path:
        """Return supervisord's socket: in the home, or in the temporary directory when the home's path is too long."""
        inside = self.path / "supervisor.sock"
        if len(os.fsencode(inside)) <= LONGEST_SOCKET_PATH:
            return inside
        return Path(tempfile.gettempdir()) / f"tollbook-{os.geteuid()}-{self.digest}.sock"

    @property
    def outside(self) -> Path:
        """Return the directory, beyond the home, of a Postgres whose account cannot enter the home."""
        return OUTSIDE / self.digest

    @property
    def digest(self) -> str:
        """Return a short name of this home that no other home on the machine has."""
        return hashlib.sha256(os.fsencode(self.path)).hexdigest()[:12]


def home_of(environ: Mapping[str, str]) -> Home:
    """Return the home that TOLLBOOK_HOME names, or the checkout's own."""
    return Home(Path(environ.get("TOLLBOOK_HOME") or CHECKOUT / ".tollbook").resolve())


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in the file, empty when there is no file."""
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    return found


def write_private(path: Path, text: str) -> None:
    """Write the file so that only its owner can read it and a reader never sees half of it."""
    partial = path.with_name(f"{path.name}.partial")
    partial.touch(mode=0o600)
    partial.chmod(0o600)
    partial.write_text(text)
    partial.replace(path)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write the object as `write_private` does."""
    write_private(path, json.dumps(value, indent=2) + "\n")
