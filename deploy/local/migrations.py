"""Bring each service's tables up to date, by running the service's own `migrate` module."""

import subprocess
import sys
from collections.abc import Mapping, Sequence

import psycopg
from psycopg import sql

from deploy.local.errors import StepFailedError
from deploy.local.home import CHECKOUT
from deploy.local.processes import MIGRATIONS, Process

TIMEOUT_S = 300
LOCK_TABLE = "yoyo_lock"


def run(processes: Sequence[Process], environment: Mapping[str, str]) -> list[str]:
    """Migrate the services among the processes, in the table's order; raises StepFailedError with the output.

    Returns the lines that a person should see: what a service that was migrated said to standard error in its own name.
    """
    wanted = {process.service for process in processes}
    notes: list[str] = []
    for service in (name for name in MIGRATIONS if name in wanted):
        command = [sys.executable, "-m", f"services.{service}.migrate"]
        done = subprocess.run(
            command, env=dict(environment), cwd=CHECKOUT, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
        if done.returncode != 0:
            raise StepFailedError(f"the migration of {service} failed", done.stdout + done.stderr)
        notes += [line for line in done.stderr.splitlines() if line.startswith(f"{service}: ")]
    return notes


def forget_locks(dsn: str) -> None:
    """Drop the locks of migrations that were killed, which would stop every later one.

    Only for a database that nobody else can be migrating: ours, just started.
    """
    with psycopg.connect(dsn) as connection:
        locks = connection.execute("SELECT schemaname FROM pg_tables WHERE tablename = %s", (LOCK_TABLE,)).fetchall()
        for (schema,) in locks:
            connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(schema, LOCK_TABLE)))
