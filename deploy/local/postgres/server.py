"""One Postgres server: its data directory, its settings and the command that runs it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from deploy.local.liveness import is_alive
from deploy.local.postgres.account import Account

ROLE = "tollbook"
INITDB_TIMEOUT_S = 120
# fsync, synchronous_commit and full_page_writes are written down because the ledger rests on them.
SETTINGS = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "listen_addresses": "'127.0.0.1'",
    "unix_socket_directories": "''",
    "max_connections": "100",
    "shared_buffers": "256MB",
    "wal_compression": "on",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "autovacuum_naptime": "15s",
    # Reads are small and cached here: three I/O worker processes would only wait.
    "io_method": "sync",
    "jit": "off",
    "timezone": "'UTC'",
    "log_timezone": "'UTC'",
    "log_line_prefix": "'%m [%p] %q%a '",
}


@dataclass(frozen=True, kw_only=True)
class PostgresServer:
    """Where the server lives: `directory` holds its data, `bin_dir` its programs; `account` runs it."""

    directory: Path
    bin_dir: Path
    account: Account
    port: int
    password: str

    def dsn(self, database: str, login: tuple[str, str] | None = None) -> str:
        """Return the connection URL of a database of this server, for the superuser or a login (user, password) of it."""
        user, password = login or (ROLE, self.password)
        return f"postgresql://{user}:{quote(password, safe='')}@127.0.0.1:{self.port}/{database}"

    def prepare(self) -> None:
        """Create the cluster the first time; write today's settings; forget a lock file whose server is gone."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self.account.own(self.directory)
        if not (self._data / "PG_VERSION").exists():
            self._create_cluster()
        settings = SETTINGS | {"port": str(self.port)}
        lines = "".join(f"{name} = {value}\n" for name, value in settings.items())
        self._write("tollbook.conf", lines)
        self._forget_stale_lock()

    def command(self) -> list[str]:
        """Return the command that runs the server in the foreground; SIGINT is its fast shutdown."""
        return [str(self.bin_dir / "postgres"), "-D", str(self._data)]

    def create_database(self, name: str) -> None:
        """Create the database unless it exists; the server must be running."""
        with psycopg.connect(self.dsn("postgres"), autocommit=True) as connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone():
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))

    def drop_database(self, name: str) -> None:
        """Drop the database with every connection to it; the server must be running."""
        with psycopg.connect(self.dsn("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    def _create_cluster(self) -> None:
        """Run initdb into a side directory, then rename: an attempt that died half-way is not taken for a cluster."""
        partial = self.directory / "data.partial"
        password_file = self.directory / "password"
        password_file.write_text(self.password)
        self.account.own(password_file)
        options = ["--username", ROLE, "--pwfile", str(password_file), "--auth=scram-sha-256", "--encoding=UTF8"]
        locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        self.account.run(["/bin/rm", "-rf", str(partial)], INITDB_TIMEOUT_S)
        self.account.run([str(self.bin_dir / "initdb"), "-D", str(partial), *options, *locale], INITDB_TIMEOUT_S)
        password_file.unlink()
        with (partial / "postgresql.conf").open("a") as main:
            main.write("include 'tollbook.conf'\n")
        partial.rename(self._data)

    def _write(self, name: str, text: str) -> None:
        path = self._data / name
        path.write_text(text)
        self.account.own(path)

    def _forget_stale_lock(self) -> None:
        """Remove the lock file that a crashed machine left: its pid may by now be another program's."""
        if running_pid(self.directory) is None:
            (self._data / "postmaster.pid").unlink(missing_ok=True)


def running_pid(directory: Path) -> int | None:
    """Return the process id of the server that runs on this directory, from its lock file, or None."""
    try:
        pid = int((directory / "data" / "postmaster.pid").read_text().split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return None
    return pid if is_alive(pid, "postgres") else None


def answers(dsn: str) -> Callable[[], bool]:
    """Return a probe that tells whether the server accepts a query."""

    def probe() -> bool:
        try:
            with psycopg.connect(dsn, connect_timeout=2) as connection:
                connection.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    return probe
