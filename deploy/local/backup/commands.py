"""`backup create|verify|restore` on the command line."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Protocol

import psycopg
import typer
from aiokafka.errors import KafkaError

from deploy.local.backup import home_files, manifest
from deploy.local.backup.create import Source, create
from deploy.local.backup.errors import BackupError
from deploy.local.backup.manifest import Manifest
from deploy.local.backup.restore import restore
from deploy.local.progress import Progress
from deploy.local.stack import Stack
from deploy.local.terminal import console, explained

STORE, CHECKPOINTS = "TOLLBOOK_OBJECT_STORE_URL", "TOLLBOOK_CHECKPOINT_FILE"
ENGINES = ("DATABASE_URL", "KAFKA_BOOTSTRAP_SERVERS")


class StackOf(Protocol):
    """Gives the stack that a command is about."""

    def __call__(self) -> Stack:
        """The stack."""
        ...


Directory = Annotated[Path, typer.Argument(help="the backup's directory", resolve_path=True)]


def take(stack: Stack, directory: Path, progress: Progress) -> Manifest:
    """Back the running stack up; raises BackupError when it is down, and for whatever keeps a backup from being whole."""
    described = stack.describe()
    if described is None:
        raise BackupError("the stack is down: a backup is taken from one that runs (make up)")
    told = stack.told("settlement-worker")
    source = Source(
        home=stack.home,
        database_url=described.postgres_dsn,
        kafka_bootstrap_servers=described.kafka_bootstrap_servers,
        told=told,
        store_url=told.get(STORE) or f"file://{stack.home.objects}",
        checkpoint_file=Path(told.get(CHECKPOINTS) or stack.home.checkpoint_file),
    )
    return _taken(source, directory, progress)


def take_elsewhere(environ: Mapping[str, str], directory: Path, progress: Progress) -> Manifest:
    """Back up what runs on clusters that the environment names, as the tables' owner; raises BackupError as `take` does.

    The processes' secrets are wherever they are kept; the backup has none.
    """
    source = Source(
        home=None,
        database_url=environ["DATABASE_URL"],
        kafka_bootstrap_servers=environ["KAFKA_BOOTSTRAP_SERVERS"],
        told=environ,
        store_url=environ.get(STORE, ""),
        checkpoint_file=Path(environ[CHECKPOINTS]) if environ.get(CHECKPOINTS) else None,
    )
    return _taken(source, directory, progress)


def _taken(source: Source, directory: Path, progress: Progress) -> Manifest:
    try:
        return create(source, directory, progress)
    except (psycopg.Error, KafkaError, OSError) as error:
        raise BackupError(f"no backup was made: {error!r}") from error


def commands(stack_of: StackOf) -> typer.Typer:
    """The three commands. `stack_of` gives the stack of the home that the environment names."""
    app = typer.Typer(help="Back a running stack up, and restore it elsewhere.", no_args_is_help=True)

    @app.command("create")
    def create_(directory: Directory) -> None:
        """Back the running stack up into a directory that does not exist yet. The stack goes on working.

        Without a stack on this machine, what DATABASE_URL and KAFKA_BOOTSTRAP_SERVERS name is backed up.
        """
        with explained():
            stack, progress = stack_of(), Progress(console)
            elsewhere = stack.describe() is None and all(map(os.environ.get, ENGINES))
            made = take_elsewhere(os.environ, directory, progress) if elsewhere else take(stack, directory, progress)
            _tell(made, f"Backed up into {directory}")
        console.print("It holds every secret of the installation: keep it where only you can read it, and encrypted.")

    @app.command("verify")
    def verify(directory: Directory) -> None:
        """Compare every file of a backup with its manifest. Nothing is restored."""
        with explained():
            _tell(manifest.verify(directory), f"{directory} is whole")

    @app.command("restore")
    def restore_(
        directory: Directory,
        replace: Annotated[bool, typer.Option("--replace", help="remove all data that the home has first")] = False,
    ) -> None:
        """Restore a backup into the home (TOLLBOOK_HOME), which must have no data. Then: make up, tollbook ledger check."""
        stack = stack_of()
        with explained():
            found = restore(directory, stack, Progress(console), replace=replace)
        _tell(found, f"Restored into {stack.home.path}")
        if found.objects != home_files.KEPT:
            console.print(f"The files of batches lie in {found.objects}: they are in no backup.", markup=False)
        console.print("Now start it (make up) and prove it (.venv/bin/tollbook ledger check).")

    return app


def _tell(found: Manifest, what: str) -> None:
    size = sum(file.bytes for file in found.files.values())
    records = sum(kept.records for of in found.topics.values() for kept in of.values())
    console.print(
        f"{what}: as of {found.created_at}, {records} records, {size / 1e6:.1f} MB, {len(found.files)} files", markup=False
    )
