"""Whether a process still runs. A dead one whose parent never asks for its end (a zombie) does not."""

import time
from collections.abc import Iterable

import psutil

POLL_S = 0.05


def is_alive(pid: int, name: str | None = None) -> bool:
    """Tell whether the process runs, and is the named program where a name is given."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return name is None or process.name() == name
    except psutil.NoSuchProcess:
        return False


def wait_gone(pids: Iterable[int], timeout_s: float) -> list[int]:
    """Wait until none of the processes runs; return those that still do after the timeout."""
    deadline = time.monotonic() + timeout_s
    while (alive := [pid for pid in pids if is_alive(pid)]) and time.monotonic() < deadline:
        time.sleep(POLL_S)
    return alive
