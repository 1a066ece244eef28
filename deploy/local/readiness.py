"""Waiting until a process can do its work, and a clear account of why when it cannot."""

import http.client
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from deploy.local.errors import NotReadyError
from deploy.local.home import Home
from deploy.local.ports import HOST, listens
from deploy.local.supervision import ProcessInfo, Supervisor

READY_PATH = "/readyz"
READY_TIMEOUT_S = 90.0
PROBE_TIMEOUT_S = 2.0
POLL_S = 0.1
# A process that has been started this many times while we wait is not going to get ready.
STARTS_AT_MOST = 4
TAIL_BYTES = 4_000


Probe = Callable[[ProcessInfo], str | None]


@dataclass(frozen=True, kw_only=True)
class Check:
    """How to tell that a process is ready: `probe` returns None, or why not."""

    process: str
    probe: Probe


def http_ready(port: int, path: str) -> Probe:
    """Return a probe of a readiness endpoint."""

    def probe(_: ProcessInfo) -> str | None:
        connection = http.client.HTTPConnection(HOST, port, timeout=PROBE_TIMEOUT_S)
        try:
            connection.request("GET", path)
            reply = connection.getresponse()
            body = reply.read(300).decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            return f"http://{HOST}:{port}{path}: {error!r}"
        finally:
            connection.close()
        return None if reply.status == http.HTTPStatus.OK else f"http://{HOST}:{port}{path}: {reply.status} {body}"

    return probe


def port_open(port: int) -> Probe:
    """Return a probe of a bare port."""
    return lambda _: None if listens(port) else f"port {port} does not accept connections"


def wait(home: Home, supervisor: Supervisor, checks: Iterable[Check], timeout_s: float = READY_TIMEOUT_S) -> None:
    """Wait until every check passes.

    Raises NotReadyError with the reason and the tail of the log when one does not in time, or its process keeps dying.
    """
    deadline = time.monotonic() + timeout_s
    starts: dict[str, set[int]] = {}
    waiting = list(checks)
    while waiting:
        infos = supervisor.processes()
        unready = [(check, reason) for check in waiting if (reason := check.probe(infos[check.process]))]
        for check, reason in unready:
            info = infos[check.process]
            seen = starts.setdefault(check.process, set())
            seen.add(info.started_s)
            if info.state == "FATAL" or len(seen) > STARTS_AT_MOST or time.monotonic() > deadline:
                raise NotReadyError(_account(home, check.process, info.state, reason))
        waiting = [check for check, _ in unready]
        if waiting:
            time.sleep(POLL_S)


def tail(path: Path) -> str:
    """Return the end of a log, empty when there is none yet."""
    if not path.exists():
        return ""
    with path.open("rb") as log:
        log.seek(max(0, path.stat().st_size - TAIL_BYTES))
        return log.read().decode(errors="replace").strip()


def _account(home: Home, name: str, state: str, reason: str) -> str:
    path = home.logs / f"{name}.log"
    return f"{name} did not get ready ({state}): {reason}\nthe end of {path}:\n{tail(path)}"
