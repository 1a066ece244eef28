"""How `make test` shares the tests out among sessions that run side by side, each with engines and ports of its own.

Tests of one file stay together, as they share what their module started. So do the end-to-end tests, which share one stack.
"""

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

LONGEST_FIRST = ("tests/e2e", "tests/reliability", "tests/integration", "tests/property", "tests/bench", "tests")
"""In which order files are begun: what is long must not be left for the end."""


class ByWhatIsShared(LoadScopeScheduling):  # type: ignore[misc]  # xdist tells no types
    """Hands whole groups of tests to one session, in the order of the collection."""

    def __init__(self, config: pytest.Config, log: Producer | None = None) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:
        return together(nodeid)


def together(nodeid: str) -> str:
    """The name of the group of a test: one session runs all of it, one test after the other."""
    path = nodeid.partition("::")[0]
    return "tests/e2e" if path.startswith("tests/e2e/") else path


def place(nodeid: str) -> int:
    """Where a test comes in the order."""
    return next(place for place, start in enumerate(LONGEST_FIRST) if nodeid.startswith(start))
