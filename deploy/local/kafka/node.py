"""One Kafka node: its settings, its storage and the command that runs it.

The node is broker and controller at once. Its voter list is static, so that the ports may change between starts
without touching what the controller has stored.
"""

import shutil
import subprocess
import uuid
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from pathlib import Path

from deploy.local.errors import MissingPrerequisiteError, StepFailedError

LOG_SETTINGS = Path(__file__).with_name("log4j2.properties")
FORMAT_TIMEOUT_S = 60
# Small and calm: a broker for one machine, which shares two cores with everything else. Measured on two cores at
# 30,000 messages/s: C1 alone costs 12 us of CPU per message and is at that after a second, C2 14 to 35 us after ten;
# the serial collector costs less than G1 and the parallel one at this heap.
JVM_FLAGS = ("-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true")
SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "num.network.threads": "2",
    "num.io.threads": "2",
    "background.threads": "2",
    "num.recovery.threads.per.data.dir": "2",
    "group.coordinator.threads": "1",
    "share.coordinator.threads": "1",
    "remote.log.manager.thread.pool.size": "1",
    "log.cleaner.dedupe.buffer.size": str(16 << 20),
    "auto.create.topics.enable": "false",
    "default.replication.factor": "1",
    "min.insync.replicas": "1",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "2",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "group.initial.rebalance.delay.ms": "0",
    # After a kill -9 the controller refuses the broker's new life until the old one's session is over (9 s by default).
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "1000",
    # An idle controller writes a no-op record this often, half a second by default.
    "metadata.max.idle.interval.ms": "5000",
}


@dataclass(frozen=True, kw_only=True)
class KafkaNode:
    """Where the node lives: its directory, its jars and its two loopback ports."""

    directory: Path
    jars: Path
    port: int
    controller_port: int

    @property
    def bootstrap_servers(self) -> str:
        """Return what clients take as KAFKA_BOOTSTRAP_SERVERS."""
        return f"127.0.0.1:{self.port}"

    def prepare(self) -> None:
        """Write the settings file and, the first time only, format the storage."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self._settings_file.write_text(self._render_settings())
        if not (self._data / "meta.properties").exists():
            self._format()

    def command(self) -> list[str]:
        """Return the command that runs the node in the foreground."""
        return [*self._java(*JVM_FLAGS), "kafka.Kafka", str(self._settings_file)]

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    @property
    def _settings_file(self) -> Path:
        return self.directory / "server.properties"

    def _render_settings(self) -> str:
        broker, controller = (f"127.0.0.1:{port}" for port in (self.port, self.controller_port))
        settings = SETTINGS | {
            "controller.quorum.voters": f"1@{controller}",
            "listeners": f"PLAINTEXT://{broker},CONTROLLER://{controller}",
            "advertised.listeners": f"PLAINTEXT://{broker}",
            "log.dirs": str(self._data),
        }
        return "".join(f"{name}={value}\n" for name, value in settings.items())

    def _format(self) -> None:
        """Give the storage its cluster id. An attempt that died half-way is taken up again by the next."""
        cluster_id = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        tool = self._java("-Xmx128m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
        arguments = ["format", f"--cluster-id={cluster_id}", "--config", str(self._settings_file), "--ignore-formatted"]
        done = subprocess.run(
            [*tool, "kafka.tools.StorageTool", *arguments],
            capture_output=True,
            text=True,
            timeout=FORMAT_TIMEOUT_S,
            check=False,
        )
        if done.returncode != 0:
            shutil.rmtree(self._data, ignore_errors=True)
            raise StepFailedError("Kafka's storage could not be formatted", done.stdout + done.stderr)

    def _java(self, *flags: str) -> list[str]:
        java = shutil.which("java")
        if java is None:
            raise MissingPrerequisiteError("Java 17 or newer (`java`) is needed to run Apache Kafka: install it")
        return [java, *flags, f"-Dlog4j2.configurationFile={LOG_SETTINGS}", "-cp", f"{self.jars}/*"]
