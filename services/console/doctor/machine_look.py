"""What this machine has: room, ports, Java."""

import shutil
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from services.console.addresses import SERVICES
from services.console.doctor import engine_verdicts as verdicts
from services.console.doctor.findings import Finding, fail, or_ok, skip

LOCAL = frozenset({"127.0.0.1", "localhost", "::1"})
PORT_TIMEOUT_S = 2.0
JAVA_TIMEOUT_S = 20.0
PORTS = {"http": 80, "https": 443}


def disk(home: Path | None) -> list[Finding]:
    """Room where the stack's data lies, for a stack of this machine."""
    if home is None:
        return [
            skip("disk", "the data does not lie on this machine", "watch the disks of Kafka, Postgres and ClickHouse there")
        ]
    return verdicts.disk(home, shutil.disk_usage(home).free)


def ports(stack: Mapping[str, Any]) -> list[Finding]:
    """Whether anything listens where the stack says."""
    places = {name: urlsplit(stack[f"{name}_url"]) for name in SERVICES if stack.get(f"{name}_url")}
    found = []
    for name, place in places.items():
        port = place.port or PORTS[place.scheme]
        if not _listens(place.hostname or "", port):
            why = f"nothing listens for {name} at {place.hostname}:{port}"
            found.append(fail("ports", why, f"start {name} (`make up`), and read its log where it does not stay"))
    if not places:
        return [skip("ports", "no stack's file says where the services are")]
    return or_ok("ports", found, f"something listens for {', '.join(places)}")


def java(stack: Mapping[str, Any], home: Path | None) -> list[Finding]:
    """The Java that runs an embedded Kafka."""
    kafka = str(stack.get("kafka_bootstrap_servers", "")).rpartition(":")[0]
    if home is None or kafka not in LOCAL or not (home / "kafka").is_dir():
        return [skip("java", "Kafka is not an embedded one of this machine")]
    command = shutil.which("java")
    if command is None:
        return verdicts.java(None)
    try:
        done = subprocess.run([command, "-version"], capture_output=True, text=True, timeout=JAVA_TIMEOUT_S, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return verdicts.java(None)
    return verdicts.java(done.stderr + done.stdout)


def _listens(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), PORT_TIMEOUT_S):
            return True
    except OSError:
        return False
