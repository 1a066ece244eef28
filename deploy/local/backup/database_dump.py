"""Postgres into a file and back, by Postgres's own programs from the wheel."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from deploy.local.backup.errors import BackupError
from deploy.local.backup.instant import SERVICES
from deploy.local.postgres.account import Account
from deploy.local.postgres.binaries import binaries

NAME = "postgres.dump"
SCRATCH = "settlement_shadow.*"
"""The books that the last audit built: whoever wants them audits again."""
ROLES = ("tollbook_settlement", "tollbook_auditor", "tollbook_router", "tollbook_edge", "tollbook_analytics")
TIMEOUT_S = 6 * 3600
PARTS = {
    "host": "PGHOST",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "dbname": "PGDATABASE",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
}


def dump(dsn: str, snapshot: str, directory: Path) -> None:
    """Write the database as the snapshot shows it; raises BackupError with what pg_dump said."""
    options = ["--format=custom", "--compress=gzip:1", f"--snapshot={snapshot}", f"--exclude-table={SCRATCH}"]
    _run("pg_dump", [*options, "--no-owner", f"--file={directory / NAME}"], dsn)


def restore(dsn: str, directory: Path) -> None:
    """Fill the database, which must have no table of ours; raises BackupError with what pg_restore said.

    The roles that own privileges are made beforehand: they belong to the server and are in no dump.
    """
    with psycopg.connect(dsn, autocommit=True) as connection:
        known = {name for (name,) in connection.execute("SELECT rolname FROM pg_roles")}
        for role in (role for role in ROLES if role not in known):
            connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(role)))
    name = conninfo_to_dict(dsn)["dbname"]
    options = ["--exit-on-error", "--single-transaction", "--no-owner", f"--dbname={name}"]
    _run("pg_restore", [*options, str(directory / NAME)], dsn)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("ANALYZE")


def occupied(dsn: str) -> list[str]:
    """The schemas of ours that the database has already."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        rows = connection.execute("SELECT nspname FROM pg_namespace WHERE nspname = ANY(%s)", ([*SERVICES],))
        return sorted(name for (name,) in rows)


def _run(program: str, arguments: Sequence[str], dsn: str) -> None:
    command = [str(binaries(Account(), Path) / program), *arguments]
    done = subprocess.run(
        command, env=_environment(dsn), capture_output=True, text=True, timeout=TIMEOUT_S, check=False, stdin=subprocess.DEVNULL
    )
    if done.returncode != 0:
        raise BackupError(f"{program} failed:\n{done.stderr.strip()}")


def _environment(dsn: str) -> Mapping[str, str]:
    """The connection as variables: an argument list can be read by everybody on the machine."""
    parts = conninfo_to_dict(dsn)
    return os.environ | {PARTS[name]: str(value) for name, value in parts.items() if name in PARTS and value is not None}
