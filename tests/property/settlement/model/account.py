"""One account by the words of LEDGER.md: everything is added up anew from the holds whenever it is asked for."""

from collections import Counter
from datetime import datetime
from uuid import UUID

from schemas.attempts import RequestCompleted
from schemas.calls import HoldProgress, HoldRequest
from schemas.money import Prices, Usage, charge_nano
from schemas.requests import KeyRef
from tests.property.settlement.books import BUCKETS, Book
from tests.property.settlement.clock import Clock
from tests.property.settlement.model.values import LimitKey, ModelHold, ModelReceipt, ModelRun, Pot, period_of


class Account:
    """Pots, limits, holds, runs and receipts of one account, and what was booked against its money elsewhere."""

    def __init__(self, account: str, clock: Clock) -> None:
        self.id = account
        self.clock = clock
        self.books: list[Book] = []
        self.pots: dict[tuple[str, str], Pot] = {}
        self.limits: dict[LimitKey, int | None] = {}
        self._before: dict[LimitKey, dict[UUID, tuple[int, int, int]]] = {}
        self.holds: dict[UUID, ModelHold] = {}
        self.runs: dict[str, ModelRun] = {}
        self.receipts: dict[UUID, ModelReceipt] = {}
        self.frozen: set[tuple[str, str]] = set()
        self.cases: Counter[str] = Counter()
        self.dead_letters = 0
        self.booked: Counter[tuple[str, str]] = Counter()

    @property
    def book(self) -> Book:
        """The price book in force."""
        return self.books[-1]

    def publish(self, book: Book) -> int:
        """The version; what is in force already keeps its own."""
        if not self.books or self.book is not book:
            self.books.append(book)
        return len(self.books)

    def pot(self, bucket: str, run: str = "") -> Pot:
        """The pot, opened where there is none."""
        return self.pots.setdefault((bucket, run), Pot())

    def held(self, bucket: str, run: str = "") -> int:
        """What open holds take of a pot."""
        open_holds = (hold for hold in self.holds.values() if hold.state == "HELD")
        return sum(hold.amount_nano for hold in open_holds if (hold.bucket, hold.reserve) == (bucket, run))

    def free(self, bucket: str, run: str = "") -> int:
        """What a pot still has for new holds."""
        return self.pot(bucket, run).posted - self.held(bucket, run)

    def book_debit(self, kind: str, currency: str, nano: int) -> None:
        """Debit an account of the operator's; credit it where the amount is negative."""
        self.booked[kind, currency] += nano

    def repay(self, bucket: str, currency: str, nano: int, run: str = "") -> int:
        """Pay of a debt what so much can pay. Returns what is left of the money."""
        pot = self.pot(bucket, run)
        repaid = min(pot.owed, nano)
        pot.owed -= repaid
        self.book_debit("overrun_receivable", currency, -repaid)
        return nano - repaid

    def top_up(self, bucket: str, nano: int) -> None:
        """A payment first pays what is owed."""
        currency = currency_of(bucket)
        self.book_debit("top_up_clearing", currency, nano)
        self.pot(bucket).move(self.repay(bucket, currency, nano))

    def set_limit(self, key: LimitKey, limit: int | None) -> None:
        """A new limit counts its period's past as it is then: a refund restores the windows that its hold was stamped with.

        A run's own limit counts from the run's opening, whenever the run gets it.
        """
        if key not in self.limits:
            ended = {hold_id: hold for hold_id, hold in self.holds.items() if hold.state != "HELD"}
            self._before[key] = {hold_id: hold.counted_in(key[3]) for hold_id, hold in ended.items()}
        self.limits[key] = limit

    def used(self, key: LimitKey, at: datetime) -> tuple[int, int, int]:
        """Held, spent and overrun of an envelope in the period around an instant: its holds that were placed in it."""
        kind, entity, currency, window = key
        period, before = period_of(window, at), self._before[key]
        counted = [
            before.get(hold_id) or hold.counted_in(window)
            for hold_id, hold in self.holds.items()
            if hold.currency == currency and period_of(window, hold.placed_at) == period and self._is_in(hold, kind, entity)
        ]
        return sum(each[0] for each in counted), sum(each[1] for each in counted), sum(each[2] for each in counted)

    def left(self, key: LimitKey) -> int | None:
        """What a limit leaves now; None where it was removed."""
        limit = self.limits[key]
        if limit is None:
            return None
        held, spent, _ = self.used(key, self.clock.now)
        return limit - held - spent

    def limits_around(self, key: KeyRef, bucket: str, currency: str, run: str | None) -> list[tuple[LimitKey, int]]:
        """The limits that a hold passes with what each leaves, the wider envelopes first."""
        return [(limit, left) for limit, left, _ in self.limits_and_holds(key, bucket, currency, run)]

    def limits_and_holds(self, key: KeyRef, bucket: str, currency: str, run: str | None) -> list[tuple[LimitKey, int, int]]:
        """The limits that a hold passes with what each leaves, and what open holds occupy in it."""
        entities = [("account", self.id), ("bucket", bucket), ("project", key.project_id), ("key", key.key_id)]
        if run is not None:
            entities.append(("run", f"{run}/{bucket}"))
        found = []
        for kind, entity in entities:
            for window in ("total", "run", "month", "day"):
                limit = (kind, entity, currency, window)
                if limit in self.limits and (left := self.left(limit)) is not None:
                    found.append((limit, left, self.used(limit, self.clock.now)[0]))
        return found

    def renew(self, sign: HoldProgress) -> bool:
        """Whether the hold is open; then it lives longer and its progress grows."""
        hold = self.holds[sign.hold_id]
        if hold.state != "HELD":
            return False
        hold.expires_at = max(hold.expires_at, sign.deadline_at)
        hold.progress = (max(hold.progress[0], sign.input_tokens), max(hold.progress[1], sign.output_tokens))
        return True

    def charge(self, hold: ModelHold, nano: int) -> None:
        """Charge a hold that is open: from it, then from what is available, then as a debt."""
        hold.state = "CAPTURED"
        hold.captured_nano = min(nano, hold.amount_nano)
        hold.overrun_nano = nano - hold.captured_nano
        self.cases["overrun"] += hold.overrun_nano > 0
        pot = self.pot(hold.bucket, hold.reserve)
        available = hold.overrun_nano if pot.by_limit else max(self.free(hold.bucket, hold.reserve) - hold.captured_nano, 0)
        paid = min(hold.overrun_nano, available)
        if not hold.reserve:
            pot.purse.spend(hold.captured_nano + paid, hold.placed_at, pot.posted)
        pot.move(-hold.captured_nano - paid)
        pot.owed += hold.overrun_nano - paid
        self.book_debit("revenue", hold.currency, -nano)
        self.book_debit("overrun_receivable", hold.currency, hold.overrun_nano - paid)

    def expire(self, hold_id: UUID, grace_s: float) -> bool:
        """End a hold by time: the last progress at the cheapest price of what it covers, at most the hold."""
        hold = self.holds[hold_id]
        if hold.state != "HELD" or (self.clock.now - hold.expires_at).total_seconds() <= grace_s:
            return False
        usage = Usage(input_tokens=hold.progress[0], output_tokens=hold.progress[1])
        hold.state = "EXPIRED"
        hold.captured_nano = min(*(charge_nano(prices, usage) for prices in hold.covered.values()), hold.amount_nano)
        pot = self.pot(hold.bucket, hold.reserve)
        if not hold.reserve:
            pot.purse.spend(hold.captured_nano, hold.placed_at, pot.posted)
        pot.move(-hold.captured_nano)
        self.book_debit("revenue", hold.currency, -hold.captured_nano)
        self.cases["expired_hold"] += 1
        return True

    def release(self, event: RequestCompleted, but: UUID | None) -> None:
        """Give back every other open hold that the event names and that is its request's."""
        for hold_id in event.data.hold_ids:
            hold = self.holds.get(hold_id)
            if hold and hold_id != but and hold.state == "HELD" and hold.request.request_id == event.request_id:
                hold.state = "RELEASED"

    def covered_by(self, request: HoldRequest, book: Book) -> dict[tuple[str, str], Prices]:
        """The prices of the candidates that the first candidate's bucket pays for."""
        bucket = BUCKETS[request.candidates[0].route_type]
        routes = [(each.route_type, each.model) for each in request.candidates if BUCKETS[each.route_type] == bucket]
        return {(str(route), model): book.prices[route, model] for route, model in routes if (route, model) in book.prices}

    def _is_in(self, hold: ModelHold, kind: str, entity: str) -> bool:
        request = hold.request
        if kind == "run":
            return request.run_id is not None and entity == f"{request.run_id}/{hold.bucket}"
        mine = {"account": self.id, "bucket": hold.bucket, "project": request.key.project_id, "key": request.key.key_id}
        return mine[kind] == entity


def currency_of(bucket: str) -> str:
    """The currency that a bucket is in."""
    return dict(BUCKETS.values())[bucket]
