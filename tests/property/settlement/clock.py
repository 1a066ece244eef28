"""One clock in a test's hand: settlement's own code reads it, in Python and in SQL."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from schemas import envelope

START = datetime(2031, 3, 14, 15, 0, tzinfo=UTC)
SERVICE = "services.settlement."


class Clock:
    """Stands still until it is moved; `tell` is told where it stands."""

    def __init__(self, tell: Callable[[datetime], None] | None = None) -> None:
        self.now = START
        self._tell = tell

    def read(self) -> datetime:
        """The present instant."""
        return self.now

    def move(self, by: timedelta) -> None:
        """Let time pass."""
        self._set(self.now + by)

    def reset(self) -> None:
        """Back to the start."""
        self._set(START)

    def _set(self, instant: datetime) -> None:
        self.now = instant
        if self._tell is not None:
            self._tell(instant)

    @contextmanager
    def in_force(self) -> Iterator[None]:
        """Settlement's modules read this clock until the block ends."""
        readers = [
            module
            for name, module in sorted(sys.modules.items())
            if name.startswith(SERVICE) and getattr(module, "now", None) is envelope.now
        ]
        assert readers, "settlement reads the clock as `now` of schemas.envelope: this must follow it"
        for module in readers:
            vars(module)["now"] = self.read
        try:
            yield
        finally:
            for module in readers:
                vars(module)["now"] = envelope.now
