"""What a load is aimed at, and measuring it."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from tests.bench.cells import Cell, bodies
from tests.bench.errors import BenchError
from tests.bench.load import Load, Outcome

GRACE_S = 60
WARMUP_S = 1.0


@dataclass(frozen=True, slots=True)
class Target:
    """An OpenAI-compatible endpoint (`base_url` ends before `/chat/completions`) and the processes that serve it."""

    name: str
    base_url: str
    api_key: str
    pids: Mapping[str, int] = field(default_factory=dict)


def drive(target: Target, cell: Cell, seconds: float) -> Outcome:
    """Load the target in a process of its own. Raises BenchError where the generator itself fails."""
    url = urlsplit(target.base_url)
    load = Load(
        host=url.hostname or "127.0.0.1",
        port=url.port or 80,
        path=f"{url.path}/chat/completions",
        api_key=target.api_key,
        bodies=bodies(cell),
        connections=cell.connections,
        seconds=seconds,
    )
    return generate(load)


def generate(load: Load) -> Outcome:
    """Run the load generator. Raises BenchError where it fails itself."""
    with tempfile.TemporaryDirectory() as directory:
        outcome = Path(directory) / "outcome.json"
        done = subprocess.run(
            [sys.executable, "-m", "tests.bench.generator", str(outcome)],
            input=load.model_dump_json().encode(),
            capture_output=True,
            timeout=load.seconds + load.timeout_s + GRACE_S,
            check=False,
        )
        if done.returncode != 0:
            raise BenchError(f"the load generator failed:\n{done.stderr.decode(errors='replace')}")
        return Outcome.model_validate_json(outcome.read_bytes())


def warm_up(target: Target, cell: Cell) -> None:
    """Let the target open its connections and fill its caches. Raises BenchError where nothing is answered."""
    outcome = drive(target, cell, WARMUP_S)
    if not outcome.requests:
        samples = "\n".join(outcome.error_samples)
        raise BenchError(f"{target.name} answers no request at {target.base_url}:\n{samples}")
