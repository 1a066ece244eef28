"""Processes of the services under test: started as in production, by `python -m`, stopped by their own id."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import httpx

CHECKOUT = Path(__file__).parents[3]
READY_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 60.0


class Process:
    """One process and its log."""

    def __init__(self, module: str, environment: Mapping[str, str], log: Path, *arguments: str) -> None:
        self.module = module
        self.log = log
        self._command = [sys.executable, "-m", module, *arguments]
        self._environment = {**os.environ, **environment}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, ready_url: str | None = None) -> None:
        """Start it, and wait until it is ready where it says so."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, cwd=CHECKOUT, env=self._environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        if ready_url is not None:
            self.wait_ready(ready_url)

    def run(self) -> None:
        """Run it to its end."""
        self.start()
        assert self._process is not None
        assert self._process.wait(READY_TIMEOUT_S) == 0, self.log.read_text()

    def wait_ready(self, url: str) -> None:
        """Wait until the URL answers 200."""
        give_up_at = time.monotonic() + READY_TIMEOUT_S
        while time.monotonic() < give_up_at:
            assert self._process is not None
            assert self._process.poll() is None, f"{self.module} ended: {self.log.read_text()}"
            try:
                if httpx.get(url, timeout=2, trust_env=False).status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.05)
        raise AssertionError(f"{self.module} is not ready: {self.log.read_text()}")

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process."""
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self) -> int:
        """The exit code, once it has ended."""
        assert self._process is not None
        return self._process.wait(STOP_TIMEOUT_S)

    def stop(self) -> None:
        """End it, by force where it does not end by itself."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGCONT)
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(STOP_TIMEOUT_S)
