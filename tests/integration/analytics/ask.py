"""Ask the embedded ClickHouse of a process that has ended: an engine admits one process, so this one asks and ends.

python -m tests.integration.analytics.ask DATA_DIR SQL → rows as JSON
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson

from services.analytics.warehouse import connector
from tests.integration.analytics.process import ROOT


def ask(data_dir: Path, sql: str) -> list[list[Any]]:
    """The rows of a query."""
    command = [sys.executable, "-m", "tests.integration.analytics.ask", str(data_dir), sql]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    answer: list[list[Any]] = orjson.loads(done.stdout)
    return answer


if __name__ == "__main__":
    client = connector("", Path(sys.argv[1]), "tollbook", max_threads=1)()
    sys.stdout.buffer.write(orjson.dumps(client.query(sys.argv[2]).result_rows))
    client.close()
