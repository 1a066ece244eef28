"""supervisord, as the stack uses it: started as a daemon, spoken to over its unix socket."""

import http.client
import socket
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.local.errors import StackError, StepFailedError
from deploy.local.home import CHECKOUT, Home
from deploy.local.liveness import is_alive
from deploy.local.processes import ENGINES, SERVICES

RPC_TIMEOUT_S = 90.0
START_TIMEOUT_S = 30.0
POLL_S = 0.05
ACTIVE = frozenset({"STARTING", "RUNNING", "BACKOFF", "STOPPING"})
SHUTTING_DOWN, ALREADY_STARTED, NOT_RUNNING = 6, 60, 70


@dataclass(frozen=True, kw_only=True)
class ProcessInfo:
    """What supervisord knows of a process. `state` is its word (RUNNING, STARTING, BACKOFF…); `pid` is 0 when there is none.

    `slot` is supervisord's own name of it: a process whose socket can be handed over has two, of which one runs.
    """

    name: str
    slot: str
    state: str
    pid: int
    started_s: int
    description: str


class Supervisor:
    """The supervisord of one home."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def is_running(self) -> bool:
        """Tell whether supervisord answers."""
        try:
            self._call("getState")
        except (OSError, http.client.HTTPException):
            return False
        except xmlrpc.client.Fault as fault:
            if fault.faultCode != SHUTTING_DOWN:
                raise
        return True

    def launch(self, environment: Mapping[str, str]) -> None:
        """Start the daemon with this environment, which its processes inherit, and wait until it answers."""
        self._home.supervisor_socket.unlink(missing_ok=True)
        command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(self._home.supervisor_config)]
        done = subprocess.run(command, env=dict(environment), cwd=CHECKOUT, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise StepFailedError("supervisord did not start", done.stdout + done.stderr)
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self.is_running():
            if time.monotonic() > deadline:
                raise StackError(f"supervisord did not answer: see {self._home.logs / 'supervisord.log'}")
            time.sleep(POLL_S)

    def processes(self) -> dict[str, ProcessInfo]:
        """Return every process by its name; of two in one name the one that runs, and of two that run the younger."""
        found = sorted(self._all(), key=lambda info: (info.state in ACTIVE, info.started_s, info.slot))
        return {info.name: info for info in found}

    def slots(self, name: str) -> list[ProcessInfo]:
        """Return every process of that name, running or not; raises StackError for a name that there is not."""
        found = sorted((info for info in self._all() if info.name == name), key=lambda info: info.slot)
        if not found:
            raise StackError(f"the stack runs no process named {name}")
        return found

    def start(self, name: str) -> None:
        """Start the process, without waiting for it; one that runs is left alone."""
        slots = self.slots(name)
        if not any(info.state in ACTIVE for info in slots):
            self.start_slot(slots[0])

    def start_slot(self, info: ProcessInfo) -> None:
        """Start this one, whatever else runs under its name."""
        try:
            self._call("startProcess", info.slot, False)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode != ALREADY_STARTED:
                raise StackError(f"{info.name} could not be started: {fault.faultString}") from fault

    def stop(self, name: str) -> None:
        """Stop the process and wait for its end; one that does not run is left alone."""
        for info in self.slots(name):
            self.stop_slot(info)

    def signal_slot(self, info: ProcessInfo, signal: str) -> None:
        """Send a signal, by its name without SIG, to this one."""
        self._call("signalProcess", info.slot, signal)

    def stop_slot(self, info: ProcessInfo) -> None:
        """Stop this one and wait for its end."""
        try:
            self._call("stopProcess", info.slot, True)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode != NOT_RUNNING:
                raise StackError(f"{info.name} could not be stopped: {fault.faultString}") from fault

    def shutdown(self) -> None:
        """End the services, then the engines, then supervisord, and wait until it is gone."""
        pid = self._pid()
        try:
            self._call("shutdown")
        except xmlrpc.client.Fault as fault:
            if fault.faultCode != SHUTTING_DOWN:
                raise
        deadline = time.monotonic() + RPC_TIMEOUT_S
        while self.is_running() or (pid and is_alive(pid)):
            if time.monotonic() > deadline:
                raise StackError(f"supervisord did not end within {RPC_TIMEOUT_S:.0f} s (pid {pid})")
            time.sleep(POLL_S)

    def _call(self, method: str, *arguments: str | bool) -> Any:
        """Make one remote call on a connection of its own."""
        transport = _UnixTransport(self._home.supervisor_socket)
        with xmlrpc.client.ServerProxy("http://supervisor", transport=transport) as server:
            return getattr(server.supervisor, method)(*arguments)

    def _pid(self) -> int | None:
        try:
            return int(self._home.supervisor_pid.read_text())
        except (FileNotFoundError, ValueError):
            return None

    def _all(self) -> list[ProcessInfo]:
        answer: Any = self._call("getAllProcessInfo")
        return [
            ProcessInfo(
                # A process whose socket is shared has a group of its own, which has its name.
                name=found["name"] if found["group"] in {ENGINES, SERVICES} else found["group"],
                slot=f"{found['group']}:{found['name']}",
                state=found["statename"],
                pid=found["pid"],
                started_s=found["start"],
                description=found["description"],
            )
            for found in answer
        ]


class _UnixTransport(xmlrpc.client.Transport):
    """XML-RPC over a unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        """Connect and keep the connection where the base class closes it."""
        connection = _UnixConnection(self._path)
        self._connection = (host, connection)
        return connection


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("supervisor", timeout=RPC_TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(RPC_TIMEOUT_S)
        self.sock.connect(str(self._path))
