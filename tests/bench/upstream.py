"""A provider simulator of the bench's own, for runs without a stack."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import orjson

from tests.bench.stack import bench_directory

STOP_S = 10


@contextmanager
def simulator() -> Iterator[str]:
    """The URL of a simulator that ends with the block."""
    command = [sys.executable, "-m", "deploy.local.provider", "--port", "0"]
    with subprocess.Popen(command, cwd=bench_directory().parent, stdout=subprocess.PIPE) as process:
        if process.stdout is None:
            raise AssertionError
        try:
            yield orjson.loads(process.stdout.readline())["url"]
        finally:
            process.terminate()
            process.wait(STOP_S)
