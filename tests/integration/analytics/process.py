"""Analytics as a process of its own, to be asked over HTTP and killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parents[3]
ADMIN_TOKEN = "the-admin-token"
EDGE_TOKEN = "the-token-of-edge"
SERVICE_TOKEN = "the-token-of-analytics"
DEADLINE_S = 90.0


def until(condition: Callable[[], Any], what: str, deadline_s: float = DEADLINE_S) -> Any:
    """Ask again and again until the condition gives something true; its answer. Fails at the deadline."""
    end = time.monotonic() + deadline_s
    while time.monotonic() < end:
        if answer := condition():
            return answer
        time.sleep(0.05)
    raise AssertionError(f"not within {deadline_s:.0f} s: {what}")


@dataclass
class Analytics:
    """`python -m services.analytics[.meter]` with its settings. Killing it loses nothing but the process."""

    module: str
    environment: dict[str, str]
    log: Path
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.environment['TOLLBOOK_PORT']}"

    @property
    def as_operator(self) -> dict[str, str]:
        """The headers of a call with the admin token."""
        return {"authorization": f"Bearer {ADMIN_TOKEN}"}

    @property
    def pid(self) -> int:
        """Of the running process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start the process; what it writes is appended to `log`."""
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-W", "error::ResourceWarning", "-m", self.module],
                cwd=ROOT,
                env=os.environ | self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send the signal and wait for the end; the exit status."""
        assert self._process is not None
        self._process.send_signal(number)
        status = self._process.wait(90)
        self._process = None
        return status

    def asking(self, edge_url: str, service_token: str) -> "Analytics":
        """The same, told where edge is."""
        self.environment |= {"TOLLBOOK_EDGE_URL": edge_url, "TOLLBOOK_ANALYTICS_TOKEN": service_token}
        return self

    def get(self, path: str, *, token: str = ADMIN_TOKEN, **parameters: Any) -> httpx.Response:
        """An admin call with a token."""
        return httpx.get(f"{self.url}{path}", params=parameters, headers={"authorization": f"Bearer {token}"}, timeout=60)

    def is_ready(self) -> bool:
        """Whether /readyz says so. Fails if the process has ended by itself."""
        assert self._process is not None
        assert self._process.poll() is None, self.log.read_text()
        try:
            return httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    def wait_until_ready(self) -> None:
        """Return once it is ready."""
        until(self.is_ready, f"analytics is ready:\n{self.log.read_text()}")

    def counts(self) -> dict[str, dict[str, int]]:
        """`GET /admin/counts`; empty while it cannot answer."""
        try:
            response = self.get("/admin/counts")
        except httpx.TransportError:
            return {}
        return response.json() if response.status_code == 200 else {}


@contextmanager
def running(process: Analytics) -> Iterator[Analytics]:
    """The process, ended at the end of the block however it stands."""
    process.start()
    try:
        yield process
    finally:
        if process._process is not None:
            process.stop(signal.SIGKILL)
