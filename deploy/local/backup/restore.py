"""Put a backup into a home that has no data, so that `up` goes on with it."""

import asyncio
from pathlib import Path

from deploy.local.backup import database_dump, home_files, manifest, topic_copy
from deploy.local.backup.errors import BackupError
from deploy.local.backup.manifest import Manifest
from deploy.local.home import CHECKOUT, Home
from deploy.local.progress import Progress
from deploy.local.stack import Stack

DATA = ("env", "seed.json", "data", "postgres", "kafka")


def restore(directory: Path, stack: Stack, progress: Progress, *, replace: bool = False) -> Manifest:
    """Fill the home and the engines; the stack is down afterwards.

    With `replace` everything in the home is removed first. Raises BackupError (nothing is touched then, unless Postgres or
    Kafka fail half-way: restore again, with `replace`).
    """
    with progress.step("Comparing the backup with its manifest"):
        found = manifest.verify(directory)
    _must_be_known(found)
    if not replace and (taken := occupied(stack.home)):
        raise BackupError(
            f"{stack.home.path} has data already ({', '.join(taken)}): set TOLLBOOK_HOME to an empty directory, "
            "or say --replace to remove all of it first"
        )
    if replace:
        stack.clean()
    stack.home.make()
    home_files.restore_private(directory, stack.home)
    home_files.restore_checkpoints(directory, stack.home)
    home_files.restore_objects(directory, stack.home)
    _fill(directory, stack, progress, found)
    return found


def occupied(home: Home) -> list[str]:
    """What of a stack's data the home has."""
    found = [name for name in DATA if (home.path / name).is_file() or any((home.path / name).glob("*"))]
    return found + ([str(home.outside)] if home.outside.exists() else [])


def _fill(directory: Path, stack: Stack, progress: Progress, found: Manifest) -> None:
    described = stack.up([], seed=False)
    try:
        if taken := database_dump.occupied(described.postgres_dsn):
            raise BackupError(
                f"the database has Tollbook's tables already ({', '.join(taken)}): restore into one that has none"
            )
        with progress.step("Restoring Kafka's topics"):
            asyncio.run(topic_copy.copy_in(described.kafka_bootstrap_servers, found.topics, directory))
        with progress.step("Restoring the ledger's database"):
            database_dump.restore(described.postgres_dsn, directory)
    finally:
        stack.down()


def _must_be_known(found: Manifest) -> None:
    """Raise BackupError for tables that are newer than this code: it would write what it does not understand."""
    for service, applied in found.migrations.items():
        known = {path.stem for path in (CHECKOUT / "services" / service / "migrations").glob("*.sql")}
        if newer := sorted(set(applied) - known):
            raise BackupError(
                f"the backup has tables of a newer Tollbook ({service}: {newer[0]}): restore it with that version"
            )
