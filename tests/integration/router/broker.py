"""A Kafka node of a test's own, which it may kill, freeze and start again on the same data."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import time
from pathlib import Path

from deploy.local import topics
from deploy.local.kafka.jars import resolve
from deploy.local.kafka.node import KafkaNode
from deploy.local.ports import free_port, is_free

START_TIMEOUT_S = 90.0


class Broker:
    """The node and its process."""

    def __init__(self, directory: Path) -> None:
        self.node = KafkaNode(directory=directory / "kafka", jars=resolve(), port=free_port(), controller_port=free_port())
        self._log = directory / "kafka.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it listens and every topic exists."""
        self.node.prepare()
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(self.node.command(), stdout=output, stderr=subprocess.STDOUT)
        give_up_at = time.monotonic() + START_TIMEOUT_S
        while is_free(self.node.port):
            assert self._process.poll() is None, self._log.read_text()[-4000:]
            assert time.monotonic() < give_up_at, self._log.read_text()[-4000:]
            time.sleep(0.05)
        asyncio.run(topics.create(self.node.bootstrap_servers))

    def kill9(self) -> None:
        """Kill it, frozen or not."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def freeze(self) -> None:
        """Let it answer nothing, with every connection open."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)
