"""Operations of operators: payments, limits, prices, freezes, cost centres, time."""

from datetime import timedelta

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition

from schemas.money import format_amount
from schemas.requests import KeyRef
from services.settlement.errors import ConflictError
from tests.property.settlement.books import BOOKS, BUCKETS, COST_CENTRE
from tests.property.settlement.machine.base import LedgerBase
from tests.property.settlement.machine.operations import operation, work
from tests.property.settlement.machine.strategies import buckets, keys, nano, pick, routes

ENVELOPES = st.sampled_from(["account", "bucket", "project", "key"])
LIMITS = st.one_of(nano, st.integers(0, 9_000_000))
WINDOWS = st.sampled_from(["total", "day", "month"])


class MoneyRules(LedgerBase):
    """What operators do to an account."""

    @work(bucket=buckets, amount=nano)
    def top_up(self, bucket: str, amount: int) -> None:
        self.pay(bucket, amount)

    @operation("operators", which=pick)
    def repeat_a_payment(self, which: int) -> None:
        self.ledger.top_up(self.account, *self.payments[which % len(self.payments)])

    @operation("operators", which=pick)
    def forge_a_payment(self, which: int) -> None:
        bucket, _, payment = self.payments[which % len(self.payments)]
        with pytest.raises(ConflictError):
            self.ledger.top_up(self.account, bucket, "99", payment)

    @precondition(lambda self: (COST_CENTRE, "") in self.model.pots)
    @operation("limits")
    def pay_into_the_cost_centre(self) -> None:
        with pytest.raises(ConflictError):
            self.ledger.top_up(self.account, COST_CENTRE, "1", "refused")

    @operation("limits", kind=ENVELOPES, key=keys, route=routes, window=WINDOWS, limit=LIMITS)
    def set_a_limit(self, kind: str, key: KeyRef, route: str, window: str, limit: int) -> None:
        bucket, currency = BUCKETS[route]
        entity = {"account": self.account, "bucket": bucket, "project": key.project_id, "key": key.key_id}[kind]
        self._limit((kind, entity, currency, window), limit)

    @precondition(lambda self: self.limits_set)
    @operation("limits", which=pick, quarters=st.integers(0, 4), spare=st.sampled_from([0, 1, 300_000, 2_000_000, 9_000_000]))
    def move_a_limit_close_to_what_is_used(self, which: int, quarters: int, spare: int) -> None:
        """Below it, at it, or so near above it that one more hold passes and two do not."""
        limit = self.limits_set[which % len(self.limits_set)]
        held, spent, _ = self.model.used(limit, self.clock.now)
        self._limit(limit, (held + spent) * quarters // 4 + spare)

    @precondition(lambda self: self.limits_set)
    @operation("limits", which=pick)
    def remove_a_limit(self, which: int) -> None:
        self._limit(self.limits_set[which % len(self.limits_set)], None)

    @operation("operators", which=st.integers(0, len(BOOKS) - 1))
    def publish_prices(self, which: int) -> None:
        self.publish(which)

    @operation("operators", kind=st.sampled_from(["account", "project", "key"]), key=keys)
    def freeze(self, kind: str, key: KeyRef) -> None:
        frozen = (kind, {"account": self.account, "project": key.project_id, "key": key.key_id}[kind])
        self.ledger.freeze(*frozen, frozen=True)
        self.model.frozen.add(frozen)

    @precondition(lambda self: self.model.frozen)
    @work(which=pick)
    def thaw(self, which: int) -> None:
        frozen = sorted(self.model.frozen)[which % len(self.model.frozen)]
        self.ledger.freeze(*frozen, frozen=False)
        self.model.frozen.remove(frozen)

    @operation("limits", limit=nano, window=WINDOWS)
    def open_a_cost_centre(self, limit: int, window: str) -> None:
        self.ledger.cost_centre(self.account, COST_CENTRE, format_amount(limit), window)
        self.model.pot(COST_CENTRE).by_limit = True
        self._remember(("bucket", COST_CENTRE, "USD", window), limit)

    @operation("limits", bucket=buckets)
    def make_a_cost_centre_of_a_prepaid_bucket(self, bucket: str) -> None:
        with pytest.raises(ConflictError):
            self.ledger.cost_centre(self.account, bucket, "1", "month")

    @work(minutes=st.sampled_from([1, 3, 15]))
    def let_minutes_pass(self, minutes: int) -> None:
        self.clock.move(timedelta(minutes=minutes))

    @operation("limits", days=st.sampled_from([1, 1, 20]), hours=st.integers(0, 23))
    def let_days_pass(self, days: int, hours: int) -> None:
        """The windows of a day begin anew, and with luck those of a month."""
        self.clock.move(timedelta(days=days, hours=hours))

    def _limit(self, limit: tuple[str, str, str, str], nano_: int | None) -> None:
        kind, entity, currency, window = limit
        text = None if nano_ is None else format_amount(nano_)
        self.ledger.limit(self.account, kind, entity, window, text, currency)
        self._remember(limit, nano_)

    def _remember(self, limit: tuple[str, str, str, str], nano_: int | None) -> None:
        self.model.set_limit(limit, nano_)
        if limit not in self.limits_set:
            self.limits_set.append(limit)
