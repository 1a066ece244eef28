"""One process takes another's place on the same listening socket, and no connection is dropped.

The socket is supervisord's, so that both have it and it never closes. The successor accepts once it is ready. Then the old one
is retired (SIGUSR1): it leaves the socket, finishes what it has begun, and is stopped when nobody is connected to it any more.
"""

import http.client
import time

import psutil

from deploy.local.errors import StackError
from deploy.local.ports import HOST
from deploy.local.supervision import ACTIVE, ProcessInfo, Supervisor

READY_TIMEOUT_S = 90.0
PROBE_TIMEOUT_S = 2.0
POLL_S = 0.1
BORN = b"process_start_time_seconds "
"""The metric by which two processes on one port are told apart."""


def hand_over(supervisor: Supervisor, name: str, port: int, *, drain_s: float) -> float:
    """Put a new process in the place of the one that runs; returns how many seconds the old one took to finish.

    Raises StackError where the new one does not get ready: the old one goes on then. One that has not finished within
    `drain_s` is stopped as usual, which still gives it its own drain time.
    """
    slots = supervisor.slots(name)
    running = [info for info in slots if info.state in ACTIVE]
    idle = [info for info in slots if info.state not in ACTIVE]
    if len(running) != 1 or not idle:
        raise StackError(f"{len(running)} processes of {name} run: restart it (python -m deploy.local restart {name}) first")
    (old,), successor = running, idle[0]
    born = psutil.Process(old.pid).create_time()
    supervisor.start_slot(successor)
    try:
        _wait_until_it_answers(supervisor, successor, port, born)
    except StackError:
        supervisor.stop_slot(successor)
        raise
    since = time.monotonic()
    supervisor.signal_slot(old, "USR1")
    _wait_until_unused(old.pid, port, since + drain_s)
    supervisor.stop_slot(old)
    return time.monotonic() - since


def _wait_until_it_answers(supervisor: Supervisor, successor: ProcessInfo, port: int, old_born: float) -> None:
    """Ask on the shared port until the answer is the successor's."""
    deadline = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < deadline:
        now = next(info for info in supervisor.slots(successor.name) if info.slot == successor.slot)
        if now.state == "FATAL":
            raise StackError(f"the new {successor.name} does not start: see its log; the old one goes on")
        answered = _born(port)
        if now.pid and answered is not None and _is_nearer(answered, now.pid, old_born):
            return
        time.sleep(POLL_S)
    raise StackError(f"the new {successor.name} did not get ready: see its log; the old one goes on")


def _is_nearer(answered: float, pid: int, old_born: float) -> bool:
    try:
        return abs(answered - psutil.Process(pid).create_time()) < abs(answered - old_born)
    except psutil.NoSuchProcess:
        return False


def _born(port: int) -> float | None:
    """When the process that answers was started, None when none does."""
    connection = http.client.HTTPConnection(HOST, port, timeout=PROBE_TIMEOUT_S)
    try:
        connection.request("GET", "/metrics", headers={"connection": "close"})
        lines = connection.getresponse().read().splitlines()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    return next((float(line.removeprefix(BORN)) for line in lines if line.startswith(BORN)), None)


def _wait_until_unused(pid: int, port: int, deadline: float) -> None:
    while time.monotonic() < deadline and _connected(pid, port):
        time.sleep(POLL_S)


def _connected(pid: int, port: int) -> bool:
    """Whether somebody is connected to this process on its port."""
    try:
        found = psutil.Process(pid).net_connections(kind="tcp")
    except psutil.NoSuchProcess:
        return False
    return any(each.status == psutil.CONN_ESTABLISHED and each.laddr.port == port for each in found)
