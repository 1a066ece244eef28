"""A Kafka node that a test may kill and start again."""

import asyncio
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.local import topics
from deploy.local.kafka.jars import resolve
from deploy.local.kafka.node import KafkaNode
from deploy.local.ports import free_port, listens
from tests.integration.edge.processes import until

START_TIMEOUT_S = 90.0


@dataclass
class OwnBroker:
    """One node; its data survives."""

    node: KafkaNode
    log: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap_servers(self) -> str:
        """Its address."""
        return self.node.bootstrap_servers

    def start(self) -> None:
        """Start, and wait until every topic has its leaders."""
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(self.node.command(), stdout=output, stderr=output)
        until(lambda: listens(self.node.port), lambda: self.log.read_text("utf-8")[-2000:], timeout_s=START_TIMEOUT_S)
        asyncio.run(topics.create(self.bootstrap_servers))

    def kill(self) -> None:
        """kill -9."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(60)
            self.process = None


@contextmanager
def own_broker(directory: Path) -> Iterator[OwnBroker]:
    """A running node of the test's own."""
    node = KafkaNode(directory=directory / "kafka", jars=resolve(), port=free_port(), controller_port=free_port())
    node.prepare()
    broker = OwnBroker(node, directory / "kafka.log")
    try:
        broker.start()
        yield broker
    finally:
        broker.kill()
