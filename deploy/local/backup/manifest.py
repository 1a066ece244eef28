"""What a backup is made of: `manifest.json` names every file with its size and hash, and the instant that all of them show."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from deploy.local.backup.errors import BrokenBackupError
from deploy.local.home import write_json
from schemas.topics import topics

FORMAT = 1
NAME = "manifest.json"
CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Partition:
    """What is kept of one partition: offsets from `first` up to (not with) `end`, in so many records."""

    first: int
    end: int
    records: int


@dataclass(frozen=True, kw_only=True)
class KeptFile:
    """One file of the backup."""

    bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """`held_ms` is how long no hold and no posting could be committed. `migrations` are those that each service's tables had;
    `checkpoint_size` is the last one that was signed.

    `objects` says where the files of batches lay: "kept" in the backup, or the address of a store of its own.
    """

    format: int
    created_at: str
    held_ms: float
    postgres_version: str
    migrations: Mapping[str, list[str]]
    checkpoint_size: int
    settled: Mapping[str, int]
    topics: Mapping[str, Mapping[str, Partition]]
    objects: str
    files: Mapping[str, KeptFile]

    def write(self, directory: Path) -> None:
        """Write it into the backup's directory, readable by its owner only."""
        write_json(directory / NAME, asdict(self))


def load(directory: Path) -> Manifest:
    """Return what the backup says of itself; raises BrokenBackupError where there is none, or one of another format."""
    try:
        found: dict[str, Any] = json.loads((directory / NAME).read_text("utf-8"))
    except FileNotFoundError as missing:
        raise BrokenBackupError(f"{directory} is no finished backup: it has no {NAME}") from missing
    except (OSError, ValueError) as error:
        raise BrokenBackupError(f"{directory / NAME} cannot be read: {error}") from error
    if found.get("format") != FORMAT:
        raise BrokenBackupError(f"{directory} has format {found.get('format')}: restore it with the version that made it")
    try:
        files = {name: KeptFile(**file) for name, file in found.pop("files").items()}
        topics = {name: {p: Partition(**each) for p, each in of.items()} for name, of in found.pop("topics").items()}
        return Manifest(**found, files=files, topics=topics)
    except (TypeError, KeyError, AttributeError) as error:
        raise BrokenBackupError(f"{directory / NAME} is not a manifest: {error}") from error


def verify(directory: Path) -> Manifest:
    """Compare every file with the manifest; raises BrokenBackupError that names one that differs, is missing or too much."""
    manifest = load(directory)
    _refuse_strange_topics(directory, manifest)
    present = {str(path.relative_to(directory)) for path in files_of(directory)} - {NAME}
    if missing := sorted(manifest.files.keys() - present):
        raise BrokenBackupError(f"{len(missing)} file(s) of the backup are missing, such as {missing[0]}")
    if strange := sorted(present - manifest.files.keys()):
        raise BrokenBackupError(f"{len(strange)} file(s) are not the backup's, such as {strange[0]}: move them elsewhere")
    for name, expected in manifest.files.items():
        if digest(directory / name) != expected:
            raise BrokenBackupError(f"{directory / name} is not what was backed up: its size or hash differs")
    return manifest


def _refuse_strange_topics(directory: Path, manifest: Manifest) -> None:
    """A topic's name becomes a folder's: only those that Tollbook has, and only partitions that they have."""
    known = {name: {str(number) for number in range(topic.partitions)} for name, topic in topics().items()}
    for name, partitions in manifest.topics.items():
        if not partitions.keys() <= known.get(name, set()):
            raise BrokenBackupError(f"{directory / NAME} names a topic or partition that Tollbook does not have: {name!r}")


def digest(path: Path) -> KeptFile:
    """Return the file's size and hash."""
    sha256, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            sha256.update(chunk)
            size += len(chunk)
    return KeptFile(bytes=size, sha256=sha256.hexdigest())


def files_of(directory: Path) -> Iterator[Path]:
    """Every file below the directory."""
    return (path for path in sorted(directory.rglob("*")) if path.is_file())
