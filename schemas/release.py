"""Which Tollbook a process runs: its version, and a digest of the contracts that it was started with."""

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from schemas.envelope import now

VERSION = "0.1.0"
_DIGEST_CHARS = 12


@cache
def release() -> dict[str, str]:
    """`version`, and `contracts`: alike in two processes exactly where they share every file of this package."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return {"version": VERSION, "contracts": digest.hexdigest()[:_DIGEST_CHARS]}


def alive() -> dict[str, Any]:
    """What `/healthz` answers: the release, and the time by the process's clock."""
    return {"ok": True, **release(), "at": now().isoformat()}
