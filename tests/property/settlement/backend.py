"""What a ledger must offer so that the machine can drive it: Postgres through the production stores, or memory.

Whatever a method says, both do; what it raises, both raise.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from schemas.calls import HoldProgress, HoldRequest
from schemas.requests import KeyRef
from services.settlement.pricebook import BookDocument
from services.settlement.records import Record
from tests.property.settlement.clock import Clock

NEVER_S = 1e9
GRACE_S = 120.0
"""How long after its deadline a hold is left alone, as in production."""
PotKey = tuple[str, str]
"""A bucket and the run whose reserve it is; '' for the customer's own."""
WindowKey = tuple[str, str, str, str, datetime]
"""kind, entity, currency and window of an envelope, and when the period began."""
Settle = Callable[[Sequence[Record]], object]


class Died(Exception):  # noqa: N818 - an event of the test, not an error of the product
    """The worker was killed before its transaction had committed."""


@dataclass(frozen=True, kw_only=True)
class State:
    """One account's ledger at one instant, to be compared with the model's."""

    pots: dict[PotKey, tuple[int, int, int]]
    """posted, held and owed"""
    holds: dict[UUID, tuple[str, int, int, int]]
    """state, amount, captured and released of every hold that was granted"""
    windows: dict[WindowKey, tuple[int, int, int]]
    """held, spent and overrun"""
    receipts: dict[UUID, tuple[str, int, int, int]]
    """status, charge, overrun and what was written off"""
    cases: Counter[str]
    """open ones, by kind"""
    dead_letters: int
    booked: dict[tuple[str, str], int]
    """debits - credits by kind and currency of the accounts that are no customer's, where it is not zero"""
    runs: dict[str, tuple[str, dict[str, tuple[int, int]]]]
    """state, and by bucket the budget and what was returned"""


class Backend(Protocol):
    """One ledger with one customer account that matters. Times are those of `clock`."""

    clock: Clock
    account: str

    def reset(self) -> None:
        """An empty ledger, an empty price book, the clock at its start."""

    def publish(self, document: BookDocument) -> int:
        """Put a price book in force; its version."""

    def top_up(self, account: str, bucket: str, amount: str, payment_id: str) -> dict[str, Any]:
        """A payment. Raises ConflictError."""

    def limit(  # noqa: PLR0917 - the words of the admin call in its order
        self, account: str, kind: str, entity: str, window: str, limit: str | None, currency: str
    ) -> None:
        """Set or remove a limit."""

    def cost_centre(self, account: str, bucket: str, limit: str, window: str) -> None:
        """A bucket that a limit funds. Raises ConflictError where payments do."""

    def freeze(self, kind: str, entity: str, *, frozen: bool) -> None:
        """Freeze an account, project or key, or thaw it."""

    def open_run(self, account: str, key: KeyRef, budget: dict[str, str], **fields: Any) -> str:
        """A run's id. Raises ApiError."""

    def extend_run(self, account: str, run_id: str, key: KeyRef, **fields: Any) -> None:
        """More budget or a later deadline. Raises ApiError."""

    def close_run(self, account: str, run_id: str, key: KeyRef) -> object:
        """Tell a run to close. Raises ApiError."""

    def close_due_runs(self) -> int:
        """How many runs were closed by their deadline, or with their last hold."""

    def hold(self, *requests: HoldRequest) -> list[dict[str, Any]]:
        """The answers to one batch, as router gets them."""

    def renew(self, sign: HoldProgress) -> list[UUID]:
        """Take a stream's sign of life; the holds that are not open."""

    def settle(self, records: Sequence[Record]) -> None:
        """Settle records as they lie in the topic. Raises OffsetGapError."""

    def die_while_settling(self, records: Sequence[Record]) -> None:
        """The worker writes everything and is killed before it commits; a successor takes over. Raises Died."""

    def take_over(self) -> Settle:
        """A successor takes the lease. What the old worker still tries raises LostLeaseError."""

    def rewind(self, offset: int) -> None:
        """Set the ledger's offset back by hand, as after a restore of the topic; a successor reads on from there."""

    def expire(self, *ids: UUID, grace_s: float) -> int:
        """Expire what is overdue of the holds; how many were."""

    def sweep(self, *, grace_s: float) -> int:
        """Expire whatever is overdue and remember how far; how many there were."""

    def publish_events(self, limit: int, *, acknowledged: int) -> list[str]:
        """The types of the oldest events, marked as published so many times: a relay may die before it hears of its mark."""

    def refund(
        self, account: str, request_id: UUID, amount: str | None = None, *, key: str, hold_id: UUID | None
    ) -> dict[str, Any]:
        """Give a charge back, or what is left of it. Raises ApiError."""

    def adjust(self, account: str, bucket: str, amount: str, *, key: str) -> dict[str, Any]:
        """Give or take by hand. Raises ApiError."""

    def promote(self, account: str, bucket: str, amount: str, expires_at: datetime, *, key: str) -> dict[str, Any]:
        """Credit that expires; `promotion_id` names it. Raises ApiError."""

    def expire_promotions(self, at: datetime) -> list[tuple[UUID, int]]:
        """Expire what is over by then: (promotion, nano) of each part."""

    def charge_back(self, payment_id: str, amount: str | None = None, *, dispute_id: str) -> dict[str, Any]:
        """Take a payment back, or what is left of it. Raises ApiError."""

    def reinstate(self, dispute_id: str) -> dict[str, Any]:
        """Give again what a dispute took. Raises ApiError."""

    def close_a_case(self, kind: str) -> None:
        """Close the oldest open case of a kind."""

    def redrive(self, limit: int) -> dict[str, int]:
        """Read the oldest dead letters that wait again; how many came to what."""

    def seal(self, limit: int) -> None:
        """Seal what waits, so much at most. A ledger in memory has no seal: it is made of rows as Postgres keeps them."""

    def balances(self, account: str) -> list[dict[str, Any]]:
        """Balances as the account sees them."""

    def moves(self, account: str, bucket: str, *, page: int) -> list[tuple[int, int]]:
        """Before and after of every move of a bucket, read in pages."""

    def limits(self, account: str) -> list[dict[str, Any]]:
        """Limits with what their newest windows count."""

    def receipt(self, account: str, request_id: UUID) -> dict[str, Any]:
        """A request's receipt. Raises NotFoundError."""

    def cases(self, *, open_only: bool) -> Counter[str]:
        """Cases as the operator lists them, by kind."""

    def state(self) -> State:
        """Everything that the model knows too."""

    def assert_sound(self, patience_s: float = NEVER_S) -> None:
        """Every invariant holds."""
