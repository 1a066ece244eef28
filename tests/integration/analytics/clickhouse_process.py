"""A ClickHouse server as a process of its own, which goes away in every way that a server can.

`python -m tests.integration.analytics.clickhouse_process ENGINE_DIR PORT`: SIGUSR1 lets it answer nothing but errors, and
again as before; SIGUSR2 kills it within an insert, the next one that comes.
"""

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Timer

from deploy.local.ports import listens
from tests.integration.analytics.clickhouse_http import serving
from tests.integration.analytics.process import ROOT, until

KILLED_WITHIN_S = 0.03


@dataclass
class ClickHouse:
    """The process. Its directory outlives it."""

    engine: Path
    port: int
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def start(self) -> None:
        """Start it, and wait until it listens."""
        command = [sys.executable, "-m", __name__, str(self.engine), str(self.port)]
        self._process = subprocess.Popen(command, cwd=ROOT)
        until(lambda: listens(self.port), "ClickHouse listens")

    def send(self, number: signal.Signals) -> None:
        """A signal to the process."""
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self) -> int:
        """Until it has ended; its status."""
        assert self._process is not None
        status, self._process = self._process.wait(90), None
        return status

    def kill(self) -> None:
        """End it at once, also if it has ended already."""
        if self._process is not None:
            self._process.kill()
            self.wait()


def main(engine: Path, port: int) -> None:
    """Serve until a signal ends the process."""
    broken, doomed = Event(), Event()

    def die_soon() -> None:
        if doomed.is_set():
            Timer(random.uniform(0, KILLED_WITHIN_S), os.kill, (os.getpid(), signal.SIGKILL)).start()

    signal.signal(signal.SIGUSR1, lambda *_: broken.clear() if broken.is_set() else broken.set())
    signal.signal(signal.SIGUSR2, lambda *_: doomed.set())
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    with serving(engine, port, broken=broken, before_insert=die_soon):
        while True:
            time.sleep(60)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
