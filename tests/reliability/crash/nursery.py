"""`python -m tests.reliability.crash.nursery <module>`: lives of one program that begin without its imports.

A restart spends most of its time on importing. The nursery has imported the program once, and forks a new life of it for every
line that it reads: `{"environment": {...}, "log": "...", "arguments": [...]}` is answered with the life's process id. From the
fork on a life is what `python -m <module>` is. All of them end with the nursery.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import json
import os
import random
import runpy
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).parents[3]
PR_SET_PDEATHSIG = 1
PRCTL = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


class Nursery:
    """The test's side."""

    def __init__(self, module: str) -> None:
        self.module = module
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, module], cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def begin(self, environment: Mapping[str, str], log: Path, arguments: Sequence[str]) -> int:
        """Begin a life. Returns its process id."""
        assert self._process.stdin
        assert self._process.stdout
        wish = {"environment": dict(environment), "log": str(log), "arguments": list(arguments)}
        print(json.dumps(wish), file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        assert answer, f"the nursery of {self.module} has ended"
        return int(answer)

    def end(self) -> None:
        """End it, and every life that is left."""
        with self._process:
            self._process.kill()


def main(module: str) -> None:
    """Import, then fork a life for every line."""
    program = _imported(module)
    # Nobody waits for the lives here: the kernel forgets each as it ends.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        wish = json.loads(line)
        if (pid := os.fork()) == 0:
            _live(program, wish)
        print(pid, flush=True)


def _imported(module: str) -> str:
    """Import what the program is made of: a package's `app` is its wiring. Returns the program's full name.

    The program itself is run anew in every life, so that it must not be known as imported.
    """
    package = importlib.util.find_spec(module)
    if package is not None and package.submodule_search_locations:
        importlib.import_module(f"{module}.app")
        return f"{module}.__main__"
    importlib.import_module(module)
    del sys.modules[module]
    return module


def _live(program: str, wish: dict[str, Any]) -> None:
    if PRCTL is not None:
        PRCTL(PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.environ.update(wish["environment"])
    log = os.open(wish["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, number in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(descriptor, number)
    random.seed()
    sys.argv = [program, *wish["arguments"]]
    runpy.run_module(program, run_name="__main__", alter_sys=True)
    sys.exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
