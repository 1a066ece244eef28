"""The machine that a run ran on."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import psutil

from tests.bench.figures import Machine

LIBRARIES = ("uvloop", "httptools", "aiohttp", "httpx", "starlette", "aiokafka", "psycopg", "chdb", "orjson")


def describe(postgres: dict[str, str], peers: dict[str, str]) -> Machine:
    """The machine, with Postgres's settings and the versions of what was compared."""
    return Machine(
        cores=psutil.cpu_count() or 0,
        cpu=_cpu_name(),
        memory_gib=round(psutil.virtual_memory().total / 2**30, 1),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        commit=_commit(),
        load_average=[round(value, 2) for value in os.getloadavg()],
        postgres=postgres,
        versions={**{name: version(name) for name in LIBRARIES}, **peers},
    )


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return platform.processor()
    lines = (line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name"))
    return next(lines, platform.machine())


def _commit() -> str:
    """The commit that was measured, marked where the sources differ from it; "unknown" outside a checkout."""
    command = ["git", "describe", "--always", "--dirty"]
    done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10, check=False)
    return done.stdout.strip() or "unknown"
