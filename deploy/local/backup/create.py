"""Take a backup of a running stack, which goes on working."""

import asyncio
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from aiokafka import AIOKafkaConsumer

from deploy.local.backup import database_dump, home_files, manifest, topic_copy
from deploy.local.backup.errors import BackupError
from deploy.local.backup.instant import Instant, check_covered, instant, partitions
from deploy.local.backup.manifest import KeptFile, Manifest, Partition
from deploy.local.home import Home
from deploy.local.progress import Progress

PARTIAL = ".partial"


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where everything is. `told` is what the processes were told; what runs elsewhere has no home here."""

    home: Home | None
    database_url: str
    kafka_bootstrap_servers: str
    told: Mapping[str, str]
    store_url: str
    checkpoint_file: Path | None


def create(source: Source, directory: Path, progress: Progress) -> Manifest:
    """Write a backup into the directory, which must not exist yet; it appears under its name once it is whole.

    Raises BackupError, and what Postgres and Kafka raise; nothing is left then but a directory that ends in `.partial`.
    """
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise BackupError(f"{directory} exists already: name a directory that does not")
    partial = directory.with_name(directory.name + PARTIAL)
    if partial.exists():
        raise BackupError(f"{partial} is what an earlier backup left that did not end: remove it, then try again")
    directory.parent.mkdir(parents=True, exist_ok=True)
    with _for_the_owner_alone():
        partial.mkdir(mode=0o700)
        made = asyncio.run(_create(source, partial, progress))
    with progress.step("Writing everything to the disk"):
        _sync(partial)
    if directory.exists():
        directory.rmdir()
    partial.rename(directory)
    _sync_directory(directory.parent)
    return made


@contextmanager
def _for_the_owner_alone() -> Iterator[None]:
    """Whatever is made meanwhile nobody else can read, wherever it is copied to later."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


async def _create(source: Source, partial: Path, progress: Progress) -> Manifest:
    store = home_files.directory_of(source.store_url)
    with progress.step("Copying the files of batches"):
        if source.home:
            home_files.copy_private(source.home, source.told, partial)
        for _ in range(2):  # the second time what came meanwhile, so that little can go before the instant unseen
            if store:
                home_files.copy_objects(store, partial)
    consumer = topic_copy.reader(source.kafka_bootstrap_servers)
    await consumer.start()
    try:
        return await _copy_at_one_instant(source, partial, progress, consumer, store)
    finally:
        await consumer.stop()


async def _copy_at_one_instant(
    source: Source, partial: Path, progress: Progress, consumer: AIOKafkaConsumer, store: Path | None
) -> Manifest:
    dsn = source.database_url
    await consumer.end_offsets(partitions())  # who leads what is looked up before anybody waits for it
    async with instant(dsn, consumer) as found:
        check_covered(found)
        progress.console.print(f"  no hold and no posting was committed for {found.held_ms:.0f} ms", markup=False)
        with progress.step("Copying the ledger's database"):
            if store:
                home_files.copy_objects(store, partial, until_s=found.at_s)
            home_files.copy_checkpoints(source.checkpoint_file, partial, found.checkpoint_size)
            await asyncio.to_thread(database_dump.dump, dsn, found.snapshot, partial)
    with progress.step("Copying Kafka's topics"):
        copied = await topic_copy.copy_out(consumer, found.ends, partial)
    with progress.step("Writing the manifest"):
        made = _described(found, copied, home_files.KEPT if store else source.store_url, _files(partial))
        made.write(partial)
    return made


def _described(
    found: Instant, copied: Mapping[str, Mapping[str, Partition]], objects: str, files: Mapping[str, KeptFile]
) -> Manifest:
    return Manifest(
        format=manifest.FORMAT,
        created_at=datetime.fromtimestamp(found.at_s, UTC).isoformat(),
        held_ms=round(found.held_ms, 1),
        postgres_version=found.postgres_version,
        migrations=found.migrations,
        checkpoint_size=found.checkpoint_size,
        settled=found.settled,
        topics=copied,
        objects=objects,
        files=files,
    )


def _files(directory: Path) -> dict[str, KeptFile]:
    """Every file's size and hash; from now on only its owner can read it."""
    found = {}
    for path in manifest.files_of(directory):
        path.chmod(0o600)
        found[str(path.relative_to(directory))] = manifest.digest(path)
    return found


def _sync(directory: Path) -> None:
    for path in manifest.files_of(directory):
        with path.open("rb") as file:
            os.fsync(file.fileno())
    for path in (directory, *(path for path in directory.rglob("*") if path.is_dir())):
        _sync_directory(path)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
