"""The broker's jars: resolved by Maven once per pom.xml, kept beside the virtual environment."""

import fcntl
import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.local.errors import MissingPrerequisiteError, StepFailedError

POM = Path(__file__).with_name("pom.xml")
RESOLVE_TIMEOUT_S = 600


def jars_dir(prefix: Path | None = None) -> Path:
    """Return the directory that holds (or will hold) the jars that today's pom.xml names."""
    digest = hashlib.sha256(POM.read_bytes()).hexdigest()[:12]
    return (prefix or Path(sys.prefix)) / "share" / "tollbook" / f"kafka-{digest}"


def resolve(prefix: Path | None = None) -> Path:
    """Return the directory with all jars, asking Maven for them if they are not there yet.

    Raises MissingPrerequisiteError without Maven, StepFailedError with Maven's output when it fails.
    """
    target = jars_dir(prefix)
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with _exclusive(target.parent / "lock"):
        if not target.is_dir():
            _download(target)
    return target


def _download(target: Path) -> None:
    """Copy the jars into a directory beside `target`, then rename: a broken download leaves nothing behind."""
    maven = shutil.which("mvn")
    if maven is None:
        raise MissingPrerequisiteError("Maven (`mvn`) is needed once, to fetch Apache Kafka: install maven")
    partial = Path(tempfile.mkdtemp(prefix=f"{target.name}-", dir=target.parent))
    command = [
        *(maven, "--batch-mode", "--quiet", "--strict-checksums", "-Dstyle.color=never", "--file", str(POM)),
        *("dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={partial}"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=RESOLVE_TIMEOUT_S, check=False)
    if done.returncode != 0:
        shutil.rmtree(partial)
        raise StepFailedError("Maven could not fetch Apache Kafka's jars", done.stdout + done.stderr)
    partial.chmod(0o755)
    partial.rename(target)


@contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    """Hold an advisory lock, so that two stacks that start at once download once."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
