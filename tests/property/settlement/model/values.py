"""What the model remembers: pots, holds, runs, answers."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from schemas.calls import HoldRequest
from schemas.money import Prices

Route = tuple[str, str]
"""Route type and model."""
LimitKey = tuple[str, str, str, str]
"""kind, entity, currency, window"""


@dataclass
class Pot:
    """A bucket of the customer, or a run's reserve of it. `after` is what every transaction left in it."""

    posted: int = 0
    owed: int = 0
    by_limit: bool = False
    after: list[int] = field(default_factory=list)

    def move(self, nano: int) -> None:
        """One transaction's doing, which may come to nothing."""
        self.posted += nano
        self.after.append(self.posted)


@dataclass
class ModelHold:
    """One hold: what it is for, what it cost."""

    request: HoldRequest
    bucket: str
    currency: str
    version: int
    covered: dict[Route, Prices]
    amount_nano: int
    cap: int
    placed_at: datetime
    expires_at: datetime
    reserve: str = ""
    state: str = "HELD"
    captured_nano: int = 0
    overrun_nano: int = 0
    progress: tuple[int, int] = (0, 0)

    @property
    def counted_nano(self) -> tuple[int, int, int]:
        """Held, spent and overrun in every window that it is counted in."""
        if self.state == "HELD":
            return self.amount_nano, 0, 0
        return 0, self.captured_nano + self.overrun_nano, self.overrun_nano

    @property
    def released_nano(self) -> int:
        """What of it went back."""
        return 0 if self.state == "HELD" else self.amount_nano - self.captured_nano


@dataclass
class ModelRun:
    """A budget for a task."""

    id: str
    key_id: str
    reserve: bool
    deadline_at: datetime
    budget: dict[str, int]
    state: str = "OPEN"
    returned: dict[str, int] = field(default_factory=dict)


@dataclass
class ModelReceipt:
    """What a settled request came to."""

    status: str
    charge_nano: int = 0
    overrun_nano: int = 0
    written_off_nano: int = 0


@dataclass(frozen=True, kw_only=True)
class Answer:
    """To a hold: `code` is "held" or why not; `amount_nano` is held or needed; `stopped_by` is kind, id and window."""

    hold_id: UUID
    code: str
    amount_nano: int | None = None
    cap: int | None = None
    left_nano: int | None = None
    stopped_by: tuple[str, str, str | None] | None = None
