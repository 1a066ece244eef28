"""Lines that let a person follow a proof that takes minutes."""

import sys
import time


class Progress:
    """Says how far a proof is, every few seconds. `quiet` for the short sizes in the test suite."""

    def __init__(self, what: str, total: int, *, quiet: bool = False, every_s: float = 5.0) -> None:
        self._what = what
        self._total = total
        self._quiet = quiet
        self._every_s = every_s
        self._started = time.monotonic()
        self._next = self._started + every_s

    def at(self, done: int, detail: str = "") -> None:
        """`done` of the total; prints when it is time again."""
        if self._quiet or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + self._every_s
        self.say(f"{done:,} of {self._total:,} {detail}")

    def say(self, words: str) -> None:
        """Print a line at once."""
        if not self._quiet:
            sys.stderr.write(f"{self._what} [{time.monotonic() - self._started:6.0f} s] {words}\n")
            sys.stderr.flush()
