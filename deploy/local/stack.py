"""The stack of one home: up, down, and the single processes between."""

import asyncio
import fcntl
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil

from deploy.local import environment, migrations, orphans, readiness, topics
from deploy.local.engines import DATABASE, kafka_check, postgres_check
from deploy.local.errors import StackError
from deploy.local.handover import hand_over
from deploy.local.home import Home, home_of, read_json
from deploy.local.layout import Layout, prepare
from deploy.local.postgres import logins
from deploy.local.postgres.server import running_pid
from deploy.local.processes import PROCESSES, Process, select
from deploy.local.programs import checks_of
from deploy.local.progress import Progress
from deploy.local.seed import seed as seed_services
from deploy.local.stackfile import Demo, StackFile, describe, load
from deploy.local.supervision import ProcessInfo, Supervisor
from deploy.local.upgrade import in_order

DRAIN_S = 600.0
"""How long a replaced process may take to finish what it has begun: as long as a request may take."""
SEEDED = frozenset({"edge", "router", "settlement"})


class Stack:
    """One home's stack. `environ` is the caller's environment: its TOLLBOOK_* variables and engine addresses win.

    With `fixed_ports` false no preferred port is tried, so that stacks of tests keep out of the way of a person's.
    """

    def __init__(
        self,
        home: Path | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        fixed_ports: bool = True,
        progress: Progress | None = None,
    ) -> None:
        self._environ = dict(os.environ if environ is None else environ)
        self.home = Home(home.resolve()) if home else home_of(self._environ)
        self._fixed_ports = fixed_ports
        self._progress = progress or Progress(quiet=True)
        self._supervisor = Supervisor(self.home)

    def up(self, processes: Sequence[str] | None = None, *, seed: bool = True) -> StackFile:
        """Start what is not running, wait until all of it is ready, seed it, and describe it.

        Raises StackError when something is missing or does not get ready; everything is stopped then.
        """
        wanted = select(processes)
        self.home.make()
        with self._locked():
            running = load(self.home)
            if running and self._supervisor.is_running():
                self._resume(wanted)
                return running
            self._halt()
            try:
                return self._start(wanted, seed=seed)
            except BaseException:
                self._halt()
                raise

    def down(self) -> None:
        """Stop everything; the data stays."""
        if self.home.path.exists():
            with self._locked():
                self._halt()

    def clean(self) -> None:
        """Stop everything and remove the home with all data."""
        self.down()
        self.home.remove()

    def describe(self) -> StackFile | None:
        """Return what stack.json says of the running stack, None when it is down."""
        return load(self.home) if self._supervisor.is_running() else None

    def reseed(self) -> StackFile:
        """Bring the running stack to the demo's state again; raises StackError when it is down."""
        described = self.describe()
        if described is None:
            raise StackError("the stack is down: take it up first")
        known = environment.shared(
            secret=environment.load_secrets(self.home) | {"TOLLBOOK_ADMIN_TOKEN": described.admin_token},
            ports=self.ports(),
            database_url=described.postgres_dsn,
            kafka_bootstrap_servers=described.kafka_bootstrap_servers,
            caller=self._environ,
        )
        seeded = replace(described, demo=self._seed(self._environ | known))
        seeded.write(self.home)
        return seeded

    def status(self) -> dict[str, ProcessInfo]:
        """Return every supervised process by its name; nothing when the stack is down."""
        return self._supervisor.processes() if self._supervisor.is_running() else {}

    def ports(self) -> dict[str, int]:
        """Return the chosen port of each process."""
        return read_json(self.home.ports_file)

    def start(self, name: str) -> None:
        """Start one process and wait until it is ready."""
        self._supervisor.start(name)
        self._wait([name])

    def stop(self, name: str) -> None:
        """Stop one process; it stays down until started."""
        self._supervisor.stop(name)

    def restart(self, name: str) -> None:
        """Stop one process, start it, and wait until it is ready."""
        self.stop(name)
        self.start(name)

    def replace(self, name: str, *, drain_s: float = DRAIN_S) -> None:
        """Put a new process in the place of a running one: without a gap where its socket can be handed over."""
        (process,) = select([name])
        if process.handed_over:
            hand_over(self._supervisor, name, self.ports()[name], drain_s=drain_s)
            self._wait([name])
        else:
            self.restart(name)

    def upgrade(self, *, drain_s: float = DRAIN_S) -> None:
        """Bring the tables and topics up to date under the running processes, then replace these one after the other.

        Raises StackError when the stack is down, or at the first process that does not get ready: the others go on as they are.
        """
        with self._locked():
            described, known = self.describe(), self.status()
            if described is None:
                raise StackError("the stack is down: make up starts it with what is installed now")
            wanted = [process for process in in_order() if process.name in known]
            told = self.told(wanted[0].name) | {"DATABASE_URL": described.postgres_dsn}
            with self._progress.step("Bringing the databases up to date, under the running processes"):
                self._progress.note(migrations.run(wanted, told))
                asyncio.run(topics.create(described.kafka_bootstrap_servers))
            for process in wanted:
                with self._progress.step(f"Replacing {process.name}"):
                    self.replace(process.name, drain_s=drain_s)
            if absent := sorted({process.name for process in PROCESSES} - known.keys()):
                self._progress.note([f"{', '.join(absent)} does not run here: make down up starts it"])

    def kill9(self, name: str) -> None:
        """Kill one process without warning; supervisord starts it again by itself."""
        pid = self.pid(name)
        if pid is None:
            raise StackError(f"{name} does not run")
        os.kill(pid, signal.SIGKILL)

    def pid(self, name: str) -> int | None:
        """Return the process id, None while it does not run."""
        found = self.status().get(name)
        return (found.pid or None) if found else None

    def told(self, name: str) -> dict[str, str]:
        """Return the environment of a running process, as the start of the stack decided it; raises StackError without one."""
        pid = self.pid(name)
        try:
            return psutil.Process(pid).environ() if pid else {}
        except (psutil.Error, OSError) as error:
            raise StackError(f"{name} does not run: {error}") from error

    def wait_ready(self, name: str) -> None:
        """Wait until one process is ready, for instance after `kill9`."""
        self._wait([name])

    def _start(self, wanted: tuple[Process, ...], *, seed: bool) -> StackFile:
        layout = prepare(self.home, self._environ, wanted, fixed_ports=self._fixed_ports, progress=self._progress)
        with self._progress.step("Starting Postgres and Kafka"):
            self._launch(layout)
            self._wait_engine("postgres", layout)
        with self._progress.step("Bringing the databases up to date"):
            if layout.engines.postgres:
                layout.engines.postgres.create_database(DATABASE)
                migrations.forget_locks(layout.engines.database_url)
            notes = migrations.run(wanted, layout.environment)
            if layout.engines.postgres:
                mine = {process.service for process in wanted}
                urls = {service: url for service, url in layout.engines.service_urls.items() if service in mine}
                logins.create(layout.engines.database_url, urls)
        self._progress.note(notes)
        with self._progress.step("Creating the topics"):
            self._wait_engine("kafka", layout)
            asyncio.run(topics.create(layout.engines.kafka_bootstrap_servers))
        with self._progress.step(f"Starting {', '.join(process.name for process in wanted)}"):
            for process in wanted:
                self._supervisor.start(process.name)
            readiness.wait(self.home, self._supervisor, checks_of(wanted, layout.ports))
        names = frozenset(process.name for process in wanted)
        if "router" in names:  # it is ready: the key is one, and opens what is stored
            environment.keep_keys(self.home, layout.environment)
        demo = self._seed(layout.environment) if seed and names >= SEEDED else None
        described = describe(layout.environment, names, demo)
        described.write(self.home)
        return described

    def _launch(self, layout: Layout) -> None:
        # Every process inherits this: each gets the database's URL by itself, and the owner's is nobody's.
        inherited = {name: value for name, value in layout.environment.items() if name != "DATABASE_URL"}
        self._supervisor.launch(inherited | environment.own(self.home, "supervisord", None))
        for check in layout.engines.checks():
            self._supervisor.start(check.process)

    def _wait_engine(self, name: str, layout: Layout) -> None:
        checks = [check for check in layout.engines.checks() if check.process == name]
        readiness.wait(self.home, self._supervisor, checks)

    def _seed(self, variables: Mapping[str, str]) -> Demo:
        with self._progress.step("Seeding prices, routes and the demo account"):
            notes: list[str] = []
            demo = seed_services(self.home, variables, notes.append)
        self._progress.note(notes)
        return demo

    def _resume(self, wanted: tuple[Process, ...]) -> None:
        """Start again what of a running stack has been stopped."""
        known = self._supervisor.processes()
        if absent := [process.name for process in wanted if process.name not in known]:
            raise StackError(f"the stack runs without {', '.join(absent)}: take it down first, then up again")
        for name in known:
            self._supervisor.start(name)
        self._wait(list(known))

    def _wait(self, names: Sequence[str]) -> None:
        """Wait for processes of a running stack, by what is recorded in the home."""
        ports, described = self.ports(), load(self.home)
        checks = checks_of([process for process in PROCESSES if process.name in names], ports)
        if "postgres" in names and described:
            checks.append(postgres_check(described.postgres_dsn))
        if "kafka" in names:
            checks.append(kafka_check(ports["kafka"]))
        readiness.wait(self.home, self._supervisor, checks)

    def _halt(self) -> None:
        """Stop what runs for this home, supervised or not, and forget its description."""
        if self._supervisor.is_running():
            with self._progress.step("Stopping"):
                self._supervisor.shutdown()
        if left := self._left_behind():
            with self._progress.step(f"Ending {len(left)} processes that an earlier run left behind"):
                orphans.end(left)
        self.home.stack_file.unlink(missing_ok=True)

    def _left_behind(self) -> list[int]:
        """Return what runs without supervisord; Postgres overwrites its environment, but has a lock file."""
        places = (self.home.path / "postgres", self.home.outside / "postgres")
        postgres = {pid for place in places if (pid := running_pid(place))}
        return sorted(postgres | set(orphans.find(self.home)))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self.home.lock_file.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
