"""What the model remembers: pots, holds, runs, answers."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from schemas.calls import HoldRequest
from schemas.money import Prices
from tests.property.settlement.model.purse import Purse

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
    purse: Purse = field(default_factory=Purse)

    def move(self, nano: int) -> None:
        """One transaction's doing, which may come to nothing."""
        self.posted += nano
        self.after.append(self.posted)


@dataclass(frozen=True)
class GivenBack:
    """A refund: when, how much, what of it was beyond the hold, and whether the hold's run was open."""

    at: datetime
    nano: int
    beyond_nano: int
    run_is_open: bool


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
    given_back: list[GivenBack] = field(default_factory=list)

    @property
    def charged_nano(self) -> int:
        """What its end took, from it and beyond it."""
        return self.captured_nano + self.overrun_nano

    @property
    def given_back_nano(self) -> int:
        """What of that was refunded."""
        return sum(each.nano for each in self.given_back)

    def counted_in(self, window: str) -> tuple[int, int, int]:
        """Held, spent and overrun in a window of this kind: a refund restores one that is still open."""
        if self.state == "HELD":
            return self.amount_nano, 0, 0
        spent, overrun = self.charged_nano, self.overrun_nano
        for refund in self.given_back:
            if refund.run_is_open if window == "run" else period_of(window, refund.at) == period_of(window, self.placed_at):
                spent, overrun = spent - refund.nano, overrun - refund.beyond_nano
        return 0, spent, overrun

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
    """To a hold: `code` is "held" or why not; `amount_nano` is held or needed; `stopped_by` is kind, id and window.

    `held_nano` is what open holds occupy of what stopped it; `passing`: nothing else is in its way.
    """

    hold_id: UUID
    code: str
    amount_nano: int | None = None
    cap: int | None = None
    left_nano: int | None = None
    stopped_by: tuple[str, str, str | None] | None = None
    held_nano: int | None = None
    passing: bool = False


def period_of(window: str, at: datetime) -> tuple[int, ...]:
    """The period of a window that an instant lies in."""
    if window == "day":
        return at.year, at.month, at.day
    return (at.year, at.month) if window == "month" else ()
