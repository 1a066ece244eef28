"""What a killed supervisord, or a crash of this command, left running: found by what it was told, then ended."""

import os
import signal
from contextlib import suppress

import psutil

from deploy.local.home import Home
from deploy.local.liveness import is_alive, wait_gone

END_TIMEOUT_S = 20.0


def find(home: Home) -> list[int]:
    """Return the ids of the processes that carry this home's mark in their environment."""
    return [process.pid for process in psutil.process_iter() if _is_marked(process, home)]


def end(pids: list[int]) -> None:
    """Ask the processes to end; kill those that have not after a while."""
    for pid in pids:
        # SIGINT is Postgres's fast shutdown: at SIGTERM it waits for every client to leave.
        _signal(pid, signal.SIGINT if is_alive(pid, "postgres") else signal.SIGTERM)
    alive = wait_gone(pids, END_TIMEOUT_S)
    for pid in alive:
        _signal(pid, signal.SIGKILL)
    wait_gone(alive, END_TIMEOUT_S)


def _is_marked(process: psutil.Process, home: Home) -> bool:
    try:
        environment = process.environ()
    except (psutil.AccessDenied, psutil.NoSuchProcess, OSError):
        return False
    return "TOLLBOOK_PROCESS" in environment and environment.get("TOLLBOOK_HOME") == str(home.path)


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
