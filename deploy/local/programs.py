"""From the process table to what supervisord runs and what `up` waits for."""

import sys
from collections.abc import Mapping, Sequence

from deploy.local.environment import own
from deploy.local.home import CHECKOUT, Home
from deploy.local.ports import HOST
from deploy.local.processes import SERVICES, Process
from deploy.local.readiness import READY_PATH, Check, http_ready, port_open
from deploy.local.supervisor_config import Program

LISTEN_FD = "TOLLBOOK_LISTEN_FD"


def programs_of(
    home: Home, processes: Sequence[Process], ports: Mapping[str, int], database_urls: Mapping[str, str]
) -> list[Program]:
    """Return the processes as supervisord runs them: in the checkout, by this very Python.

    `database_urls` are those of the services that log in to Postgres.
    """
    for process in processes:
        (home.data / process.name).mkdir(exist_ok=True)
    return [_program(home, process, ports[process.name], database_urls.get(process.service or "")) for process in processes]


def checks_of(processes: Sequence[Process], ports: Mapping[str, int]) -> list[Check]:
    """Return how to tell that each process is ready."""
    return [_check(process, ports[process.name]) for process in processes]


def _program(home: Home, process: Process, port: int, database_url: str | None) -> Program:
    arguments = [argument.format(port=port) for argument in process.arguments]
    return Program(
        name=process.name,
        group=SERVICES,
        command=[sys.executable, "-m", process.module, *arguments],
        directory=CHECKOUT,
        environment=own(home, process.name, port, database_url) | ({LISTEN_FD: "0"} if process.handed_over else {}),
        socket=f"tcp://{HOST}:{port}" if process.handed_over else None,
    )


def _check(process: Process, port: int) -> Check:
    probes = {"http": http_ready(port, READY_PATH), "port": port_open(port)}
    return Check(process=process.name, probe=probes[process.ready])
