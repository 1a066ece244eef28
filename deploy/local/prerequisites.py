"""What the machine must have besides Python: a Java to run Kafka, Maven to fetch it once, for tests also a browser and Node."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from deploy.local.errors import MissingPrerequisiteError, StepFailedError
from deploy.local.kafka.jars import jars_dir
from deploy.local.progress import Progress

JAVA_AT_LEAST = 17
JAVA_PACKAGE, MAVEN_PACKAGE, BROWSER_PACKAGE = "default-jre-headless", "maven", "chromium"
NODE_PACKAGES = {"node": "nodejs", "npm": "npm"}
APT_TIMEOUT_S = 900


def ensure(progress: Progress, *, tests: bool = False) -> None:
    """Install what is missing on Debian as root; elsewhere raise MissingPrerequisiteError, which names it."""
    missing = missing_packages(tests=tests)
    if not missing:
        return
    apt = shutil.which("apt-get")
    if apt is None or os.geteuid() != 0 or not Path("/etc/debian_version").exists():
        raise MissingPrerequisiteError(_advice(missing))
    with progress.step(f"Installing {' and '.join(missing)}"):
        _run([apt, "update"])
        _run([apt, "install", "--yes", "--no-install-recommends", *missing])
    if still := missing_packages(tests=tests):
        raise MissingPrerequisiteError(_advice(still))


def missing_packages(*, tests: bool = False) -> list[str]:
    """Return the Debian packages that would fill the gaps; `tests` where tests are to run."""
    missing = [] if (java_version() or 0) >= JAVA_AT_LEAST else [JAVA_PACKAGE]
    if not jars_dir().is_dir() and shutil.which("mvn") is None:
        missing.append(MAVEN_PACKAGE)
    if tests and shutil.which("chromium") is None:
        missing.append(BROWSER_PACKAGE)
    if tests:
        missing += [package for program, package in NODE_PACKAGES.items() if shutil.which(program) is None]
    return missing


def java_version() -> int | None:
    """Return the major version of `java` on the path, or None without one."""
    java = shutil.which("java")
    if java is None:
        return None
    done = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30, check=False)
    return parse_java_version(done.stderr)


def parse_java_version(text: str) -> int | None:
    """Read the major version from what `java -version` prints: 17.0.15 is 17, 1.8.0 is 8."""
    found = re.search(r'version "(?:1\.)?(\d+)', text)
    return int(found.group(1)) if found else None


def _advice(missing: list[str]) -> str:
    needs = {
        JAVA_PACKAGE: f"Java {JAVA_AT_LEAST} or newer (`java`), to run Apache Kafka",
        MAVEN_PACKAGE: "Maven (`mvn`), to fetch Apache Kafka",
        BROWSER_PACKAGE: "Chromium (`chromium`), to test the dashboard",
        "nodejs": "Node 18 or newer (`node`), to test with the openai client for Node",
        "npm": "npm (`npm`), to fetch that client",
    }
    return f"Missing: {'; '.join(needs[package] for package in missing)}. On Debian: apt-get install {' '.join(missing)}"


def _run(command: list[str]) -> None:
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=APT_TIMEOUT_S, check=False)
    if done.returncode != 0:
        raise StepFailedError(f"`{' '.join(command)}` failed", done.stdout[-2000:] + done.stderr[-2000:])
