"""One process of the product: started as its supervisor starts it, killed without warning, frozen, thawed."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import httpx

CHECKOUT = Path(__file__).parents[3]
READY_TIMEOUT_S = 60.0
POLL_S = 0.02
PR_SET_PDEATHSIG = 1
PRCTL = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


class Process:
    """`python -m <module>`. Its log is appended to by every life that it has."""

    def __init__(
        self, module: str, environment: Mapping[str, str], log: Path, *arguments: str, ready_path: str = "/readyz"
    ) -> None:
        self.module = module
        self.log = log
        self.kills = 0
        self._command = [sys.executable, "-m", module, *arguments]
        self._environment = {**os.environ, **environment}
        self._ready_path = ready_path
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._environment['TOLLBOOK_PORT']}"

    @property
    def pid(self) -> int:
        """The running life's process id."""
        assert self._process is not None
        return self._process.pid

    def begin(self) -> None:
        """Start it, without waiting until it is ready."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=CHECKOUT,
                env=self._environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=_die_with_parent if PRCTL else None,  # noqa: PLW1509 - one system call, nothing that could lock
            )

    async def start(self) -> None:
        """Start it, and wait until it can do its work."""
        self.begin()
        await self.ready()

    async def ready(self) -> None:
        """Wait until it says that it is ready."""
        give_up_at = time.monotonic() + READY_TIMEOUT_S
        async with httpx.AsyncClient(trust_env=False, timeout=2) as http:
            while not await self._answers(http):
                assert self._process is not None
                assert self._process.poll() is None, f"{self.module} ended by itself:\n{self.tail()}"
                assert time.monotonic() < give_up_at, f"{self.module} is not ready:\n{self.tail()}"
                await asyncio.sleep(POLL_S)

    async def _answers(self, http: httpx.AsyncClient) -> bool:
        try:
            return (await http.get(self.url + self._ready_path)).status_code == 200
        except httpx.HTTPError:
            return False

    async def kill9(self) -> None:
        """SIGKILL by its id, and its end."""
        assert self._process is not None
        assert self._process.poll() is None, f"{self.module} had ended before it was killed:\n{self.tail()}"
        self._process.kill()
        await asyncio.to_thread(self._process.wait, 20)
        self.kills += 1

    def freeze(self) -> None:
        """SIGSTOP."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def end(self) -> None:
        """No life is left of it when this returns."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(20)

    def tail(self) -> str:
        """The end of its log."""
        return self.log.read_text("utf-8", errors="replace")[-4000:]

    def said(self) -> str:
        """All that it has written into its log."""
        return self.log.read_text("utf-8", errors="replace")


async def run(module: str, environment: Mapping[str, str]) -> None:
    """Run a module to its end, which must be a good one."""
    made = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        cwd=CHECKOUT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    output, _ = await made.communicate()
    assert made.returncode == 0, f"{module}: {output.decode(errors='replace')[-4000:]}"


def _die_with_parent() -> None:
    """Ask the kernel to kill this process when the test is gone (Linux)."""
    assert PRCTL is not None
    PRCTL(PR_SET_PDEATHSIG, signal.SIGKILL)
