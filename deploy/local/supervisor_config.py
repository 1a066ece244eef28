"""supervisord's settings, as text. The secret in them is each service's own database login; all others are inherited."""

import configparser
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deploy.local.home import Home
from deploy.local.processes import ENGINES, SERVICES

LOG_BYTES = 10 << 20
LOG_BACKUPS = 3
SLOTS = 2
BACKLOG = 2048


@dataclass(frozen=True, kw_only=True)
class Program:
    """One supervised process. `stop_wait_s` later it is killed; `user` is None for the current one.

    With `socket` (`tcp://host:port`) supervisord listens there for as long as the process runs, gives it the socket as its
    standard input, and can run a second one on it: see `Supervisor.slots`.
    """

    name: str
    group: str
    command: Sequence[str]
    directory: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    stop_signal: str = "TERM"
    stop_wait_s: int = 20
    stop_as_group: bool = True
    user: str | None = None
    socket: str | None = None


def render(home: Home, programs: Sequence[Program]) -> str:
    """Return the whole settings file."""
    config = configparser.RawConfigParser()
    config["unix_http_server"] = {"file": _literal(str(home.supervisor_socket)), "chmod": "0700"}
    config["supervisord"] = {
        "logfile": _literal(str(home.logs / "supervisord.log")),
        "logfile_maxbytes": str(LOG_BYTES),
        "logfile_backups": "1",
        "pidfile": _literal(str(home.supervisor_pid)),
        "childlogdir": _literal(str(home.logs)),
        **({"user": "root"} if os.geteuid() == 0 else {}),
    }
    config["rpcinterface:supervisor"] = {"supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"}
    for group, priority in ((ENGINES, 10), (SERVICES, 20)):
        members = [program for program in programs if program.group == group]
        if plain := [program.name for program in members if program.socket is None]:
            config[f"group:{group}"] = {"programs": ",".join(plain), "priority": str(priority)}
        for program in members:
            kind = "program" if program.socket is None else "fcgi-program"
            config[f"{kind}:{program.name}"] = _program(home, program) | _slots(program, priority)
    text = io.StringIO()
    config.write(text)
    return text.getvalue()


def _program(home: Home, program: Program) -> dict[str, str]:
    variables = ",".join(f'{name}="{value}"' for name, value in program.environment.items())
    section = {
        "command": _literal(" ".join(_quoted(word) for word in program.command)),
        "directory": _literal(str(program.directory)),
        "environment": _literal(variables),
        "autostart": "false",
        "autorestart": "true",
        "startsecs": "1",
        # With the pause growing by a second each time, half an hour of trying.
        "startretries": "60",
        "stopsignal": program.stop_signal,
        "stopwaitsecs": str(program.stop_wait_s),
        "stopasgroup": str(program.stop_as_group).lower(),
        "killasgroup": "true",
        "redirect_stderr": "true",
        "stdout_logfile": _literal(str(home.logs / f"{program.name}.log")),
        "stdout_logfile_maxbytes": str(LOG_BYTES),
        "stdout_logfile_backups": str(LOG_BACKUPS),
    }
    return section | ({"user": program.user} if program.user else {})


def _slots(program: Program, priority: int) -> dict[str, str]:
    """Two processes that share a socket, of which one runs. They are a group of their own, as supervisord wants it."""
    if program.socket is None:
        return {}
    names = {"numprocs": str(SLOTS), "process_name": "%(program_name)s_%(process_num)d"}
    return names | {"socket": program.socket, "socket_backlog": str(BACKLOG), "priority": str(priority)}


def _quoted(word: str) -> str:
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _literal(text: str) -> str:
    """Escape what supervisord would expand."""
    return text.replace("%", "%%")
