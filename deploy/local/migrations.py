"""Bring each service's tables up to date, by running the service's own `migrate` module."""

import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

import psycopg
from psycopg import sql

from deploy.local.errors import StepFailedError
from deploy.local.home import CHECKOUT
from deploy.local.processes import MIGRATIONS, Process

TIMEOUT_S = 3600
LOCK_TABLE = "yoyo_lock"
GIVING_WAY = "-c lock_timeout=500ms"
"""Who waits to change a table makes everybody wait who comes later. It steps aside after half a second and comes again.

Half of Postgres' deadlock_timeout: of a migration and a request that wait for each other, the migration ends.
"""
BUSY = ("LockNotAvailable", "DeadlockDetected")
PATIENCE_S = 900.0
PAUSE_S = 1.0


def run(processes: Sequence[Process], environment: Mapping[str, str]) -> list[str]:
    """Migrate the services among the processes, in the table's order; raises StepFailedError with the output.

    Returns the lines that a person should see: what a service that was migrated said to standard error in its own name.
    """
    wanted = {process.service for process in processes}
    notes: list[str] = []
    for service in (name for name in MIGRATIONS if name in wanted):
        said = _migrate(service, dict(environment) | {"PGOPTIONS": GIVING_WAY})
        notes += [line for line in said.splitlines() if line.startswith(f"{service}: ")]
    return notes


def _migrate(service: str, environment: dict[str, str]) -> str:
    """What it said to standard error. Tables that somebody keeps busy are tried again and again, for a quarter of an hour."""
    command = [sys.executable, "-m", f"services.{service}.migrate"]
    give_up_at = time.monotonic() + PATIENCE_S
    while True:
        done = subprocess.run(
            command, env=environment, cwd=CHECKOUT, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
        if done.returncode == 0:
            return done.stderr
        if time.monotonic() > give_up_at or not any(each in done.stderr for each in BUSY):
            raise StepFailedError(f"the migration of {service} failed", done.stdout + done.stderr)
        time.sleep(PAUSE_S)


def forget_locks(dsn: str) -> None:
    """Drop the locks of migrations that were killed, which would stop every later one.

    Only for a database that nobody else can be migrating: ours, just started.
    """
    with psycopg.connect(dsn) as connection:
        locks = connection.execute("SELECT schemaname FROM pg_tables WHERE tablename = %s", (LOCK_TABLE,)).fetchall()
        for (schema,) in locks:
            connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(schema, LOCK_TABLE)))
