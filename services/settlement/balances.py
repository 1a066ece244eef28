"""Bucket balances while a batch is posted: read under lock once, changed here, written once. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from schemas.money import INT64_MAX
from services.settlement.errors import InvalidError


@dataclass(slots=True)
class BucketState:
    """A bucket's row: what is posted, what of it is held, what is owed beyond it, and whether a limit funds it."""

    account: int
    posted: int
    held: int
    overrun: int
    unlimited: bool = False

    @property
    def free(self) -> int:
        """What no hold has taken."""
        return self.posted - self.held


@dataclass(frozen=True, slots=True)
class Capture:
    """How a charge was paid: from the hold, from what else was available, and what is owed; and the bucket around it."""

    from_hold: int
    from_available: int
    owed: int
    before: int
    after: int
    held_after: int

    @property
    def paid(self) -> int:
        """What left the bucket."""
        return self.from_hold + self.from_available

    @property
    def move(self) -> tuple[int, int, int]:
        """Balance before, after, and held after."""
        return self.before, self.after, self.held_after


class Buckets:
    """The locked rows of a batch, by ledger account."""

    def __init__(self, rows: Iterable[tuple[int, int, int, int, bool]]) -> None:
        self._of = {row[0]: BucketState(*row) for row in rows}

    def capture(self, account: int | None, hold_nano: int, charge_nano: int) -> Capture:
        """Charge a hold: at most the hold from the hold, the excess from what is available, the rest is owed.

        A hold without a bucket is a hold of zero that was placed before the bucket existed: all that exceeds it is owed.
        """
        from_hold = min(charge_nano, hold_nano)
        if account is None:
            return Capture(0, 0, charge_nano, 0, 0, 0)
        state = self._of[account]
        before = state.posted
        state.held -= hold_nano
        available = state.posted - state.held - from_hold
        excess = charge_nano - from_hold
        from_available = excess if state.unlimited else min(excess, max(available, 0))
        owed = excess - from_available
        state.posted -= from_hold + from_available
        state.overrun += owed
        return Capture(from_hold, from_available, owed, before, state.posted, state.held)

    def release(self, account: int | None, hold_nano: int) -> None:
        """Give a hold back whole."""
        if account is not None:
            self._of[account].held -= hold_nano

    def top_up(self, account: int, amount_nano: int) -> tuple[int, int]:
        """Add a payment. Returns the balance before, and how much of it pays for what is owed.

        Raises InvalidError for more than any balance can be.
        """
        state = self._of[account]
        before = state.posted
        repaid = min(state.overrun, amount_nano)
        if before + amount_nano - repaid > INT64_MAX:
            raise InvalidError("with this the balance would be more than any can be", code="invalid_amount", param="amount")
        state.overrun -= repaid
        state.posted += amount_nano - repaid
        return before, repaid

    def take(self, account: int, amount_nano: int) -> tuple[int, int]:
        """Take what is available of an amount. Returns the balance before, and how much was taken."""
        state = self._of[account]
        before = state.posted
        taken = min(amount_nano, max(state.posted - state.held, 0))
        state.posted -= taken
        return before, taken

    def owe(self, account: int, amount_nano: int) -> None:
        """Note what the holder owes beyond the bucket."""
        self._of[account].overrun += amount_nano

    def add(self, state: BucketState) -> None:
        """Take in a row that was opened under the lock."""
        self._of[state.account] = state

    def state(self, account: int) -> BucketState:
        """The row of an account that is locked. Raises KeyError."""
        return self._of[account]

    @property
    def states(self) -> list[BucketState]:
        """Every row, to be written back."""
        return list(self._of.values())
