"""What lies in the home beside the engines: secrets, what was seeded, the checkpoint file, the files of batches."""

import json
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from deploy.local.home import Home, write_private

DIRECTORY = "home"
CHECKPOINTS = "checkpoints.jsonl"
OBJECTS = "objects"
KEPT = "kept"
PRIVATE = ("env", "seed.json", "ports.json", "stack.json")
RESTORED = ("env", "seed.json", "ports.json")
"""stack.json is written by every start; in the backup it is for the person who looks for an address or a credential."""


def copy_private(home: Home, told: Mapping[str, str], backup: Path) -> None:
    """Copy the files that hold secrets and choices, readable by their owner only.

    Of the secrets, those that the processes were told: a start may have been given others than the home's.
    """
    (backup / DIRECTORY).mkdir(mode=0o700)
    for name in PRIVATE:
        if (home.path / name).exists():
            text = (home.path / name).read_text("utf-8")
            write_private(backup / DIRECTORY / name, _as_told(text, told) if name == home.secrets_file.name else text)


def _as_told(text: str, told: Mapping[str, str]) -> str:
    pairs = (line.partition("=") for line in text.splitlines() if line)
    return "".join(f"{name}={told.get(name, value)}\n" for name, _, value in pairs)


def restore_private(backup: Path, home: Home) -> None:
    """Put them back."""
    for name in RESTORED:
        if (backup / DIRECTORY / name).exists():
            write_private(home.path / name, (backup / DIRECTORY / name).read_text("utf-8"))


def copy_checkpoints(source: Path | None, backup: Path, size: int) -> None:
    """Keep the checkpoints of at most so many entries: later ones promise what the snapshot does not have."""
    kept = []
    if source and source.exists():
        for line in source.read_text("utf-8").splitlines(keepends=True):
            # The last line may be one that is just being written.
            with suppress(ValueError):
                if line.endswith("\n") and json.loads(line)["size"] <= size:
                    kept.append(line)
    write_private(backup / CHECKPOINTS, "".join(kept))


def restore_checkpoints(backup: Path, home: Home) -> None:
    """Put the file where the sealer goes on with it; an empty one is left out."""
    if (backup / CHECKPOINTS).stat().st_size:
        shutil.copyfile(backup / CHECKPOINTS, home.checkpoint_file)


def directory_of(store_url: str) -> Path | None:
    """The directory of an object store, or None for one that is a service of its own."""
    parts = urlsplit(store_url)
    return Path(parts.path) if parts.scheme == "file" else None


def copy_objects(source: Path, backup: Path, *, until_s: float | None = None) -> None:
    """Copy the objects that the backup does not have yet, and are not younger than the instant.

    A file that is removed while it is copied is left out: nothing at the instant, or after it, names it.
    """
    target = backup / OBJECTS
    target.mkdir(mode=0o700, exist_ok=True)
    for path in source.rglob("*") if source.is_dir() else ():
        copy = target / path.relative_to(source)
        with suppress(FileNotFoundError):
            status = path.stat()
            if (
                path.is_dir()
                or _has(copy, status.st_size, status.st_mtime)
                or (until_s is not None and status.st_mtime > until_s)
            ):
                continue
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, copy)


def restore_objects(backup: Path, home: Home) -> None:
    """Put the objects into the home."""
    if (backup / OBJECTS).is_dir():
        shutil.copytree(backup / OBJECTS, home.objects, dirs_exist_ok=True)


def _has(copy: Path, size: int, mtime: float) -> bool:
    with suppress(FileNotFoundError):
        status = copy.stat()
        return status.st_size == size and status.st_mtime == mtime
    return False
