"""Breaks pricing, postings and holds in every small way there is, and counts how many of these mutants the tests notice.

`python -m tests.reliability.mutation` mutates what `[tool.mutmut]` in pyproject.toml names and ends with 1 when fewer than
90% are killed. mutmut lives in a folder of its own: it asks for a newer click than Faust allows, and runs with the older one.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

TO_KILL_PERCENT = 90
TOOL = Path(".bench") / "mutmut"
REQUIREMENTS = Path(__file__).with_name("mutation-requirements.txt")
STATS = Path("mutants") / "mutmut-cicd-stats.json"
RUN = "import sys; sys.path.append(sys.argv.pop(1)); from mutmut.__main__ import cli; cli()"


@dataclass(frozen=True, slots=True)
class Score:
    """How many mutants there were, and how many a test noticed."""

    killed: int
    total: int

    @property
    def percent(self) -> float:
        """The share of mutants that a test noticed."""
        return 100 * self.killed / self.total

    def __str__(self) -> str:
        return f"{self.killed} of {self.total} mutants killed: {self.percent:.1f}%, at least {TO_KILL_PERCENT}% wanted"


def install() -> None:
    """Put mutmut where nothing but this program looks."""
    if not TOOL.exists():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", str(TOOL)]
        subprocess.run([*command, "--requirement", str(REQUIREMENTS)], check=True)


def measure() -> Score:
    """Run mutmut in the checkout. Raises CalledProcessError when the tests fail before anything is mutated."""
    _mutmut("run")
    _mutmut("export-cicd-stats")
    found = json.loads(STATS.read_text("utf-8"))
    noticed = found["killed"] + found["timeout"]
    return Score(noticed, noticed + found["survived"] + found["no_tests"] + found["suspicious"])


def _mutmut(command: str) -> None:
    subprocess.run([sys.executable, "-c", RUN, str(TOOL.resolve()), command], check=True)


if __name__ == "__main__":
    install()
    score = measure()
    print(score)
    sys.exit(score.percent < TO_KILL_PERCENT)
