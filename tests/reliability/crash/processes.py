"""One process of the product: started again after its death, killed without warning, frozen, thawed."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import httpx

from deploy.local.liveness import is_alive
from tests.reliability.crash.nursery import CHECKOUT, Nursery

PORT_TAKEN, PORT_PAUSE_S = "address already in use", 0.5
READY_TIMEOUT_S = 90.0
END_TIMEOUT_S = 60.0
POLL_S = 0.01


class Process:
    """A program with its settings. Its log is appended to by every life that it has."""

    def __init__(
        self, nursery: Nursery, environment: Mapping[str, str], log: Path, *arguments: str, ready_path: str = "/readyz"
    ) -> None:
        self.log = log
        self._nursery = nursery
        self._environment = environment
        self._arguments = arguments
        self._ready_path = ready_path
        self._pid: int | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._environment['TOLLBOOK_PORT']}"

    @property
    def alive(self) -> bool:
        """Whether a life of it runs."""
        return self._pid is not None and is_alive(self._pid)

    def begin(self) -> None:
        """Start it, without waiting until it is ready."""
        self._pid = self._nursery.begin(self._environment, self.log, self._arguments)

    async def start(self) -> None:
        """Start it, and wait until it can do its work."""
        self.begin()
        await self.ready()

    async def ready(self) -> None:
        """Wait until it says that it is ready."""
        give_up_at = time.monotonic() + READY_TIMEOUT_S
        async with httpx.AsyncClient(trust_env=False, timeout=10) as http:
            while not await self._answers(http):
                if not self.alive and PORT_TAKEN in self.said()[-1000:]:
                    # A connection of somebody else has the port for a moment: a supervisor would begin it again.
                    await asyncio.sleep(PORT_PAUSE_S)
                    self.begin()
                assert self.alive, f"{self._nursery.module} ended by itself:\n{self.said()[-4000:]}"
                assert time.monotonic() < give_up_at, f"{self._nursery.module} is not ready:\n{self.said()[-4000:]}"
                await asyncio.sleep(POLL_S)

    async def _answers(self, http: httpx.AsyncClient) -> bool:
        try:
            return (await http.get(self.url + self._ready_path)).status_code == 200
        except httpx.HTTPError:
            return False

    async def kill9(self) -> None:
        """SIGKILL by its id, and its end."""
        assert self.alive, f"{self._nursery.module} had ended before it was killed:\n{self.said()[-4000:]}"
        self.signal(signal.SIGKILL)
        async with asyncio.timeout(END_TIMEOUT_S):
            while self.alive:  # noqa: ASYNC110 - another process's child
                await asyncio.sleep(POLL_S)

    def freeze(self) -> None:
        """SIGSTOP."""
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self.signal(signal.SIGCONT)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the running life."""
        assert self._pid is not None
        os.kill(self._pid, number)

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
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await made.communicate()
    assert made.returncode == 0, f"{module}: {output.decode(errors='replace')[-4000:]}"
