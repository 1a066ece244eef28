"""The official `openai` client for Node, unchanged but for its base URL: `tests/e2e/node/check.mjs` says what it must do."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.stack

SOURCE = Path(__file__).parent / "node"
HOME = Path(__file__).parents[2] / ".bench" / "node-client"
INSTALL_S, CHECK_S = 300, 120
WANTED = (
    "The openai client for Node needs `node` (18 or later) and `npm`: install them, for example the packages nodejs and npm."
)


@pytest.fixture(scope="module")
def installed() -> Path:
    """A directory with the client, of the version and the hash that `package-lock.json` names, and the script beside it."""
    assert shutil.which("node"), WANTED
    assert shutil.which("npm"), WANTED
    HOME.mkdir(parents=True, exist_ok=True)
    stamp, lock = HOME / "installed-lock.json", (SOURCE / "package-lock.json").read_text()
    for file in ("package.json", "package-lock.json", "check.mjs"):
        shutil.copy(SOURCE / file, HOME / file)
    if not stamp.exists() or stamp.read_text() != lock:
        told = _run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", timeout_s=INSTALL_S)
        assert told.returncode == 0, f"npm could not install the client: {told.stderr}"
        stamp.write_text(lock)
    return HOME


def _run(*command: str, timeout_s: int) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "TOLLBOOK_"))}
    return subprocess.run(
        [shutil.which(command[0]) or command[0], *command[1:]],
        cwd=HOME,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def test_the_client_for_node_does_all_that_it_does_elsewhere(installed: Path, described: dict[str, Any]) -> None:
    base_url, api_key = f"{described['edge_url']}/v1", described["demo"]["api_key"]
    told = _run("node", str(installed / "check.mjs"), base_url, api_key, timeout_s=CHECK_S)
    results = [json.loads(line) for line in told.stdout.splitlines()]
    assert told.returncode == 0, told.stderr
    assert len(results) == 12
    assert {result["name"]: result["fault"] for result in results if result["fault"]} == {}
