"""Any past, and it is rebuilt to the last unit: the ledger's books follow from its events and the prices alone (I14)."""

import os
import random
from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import pytest

from schemas.attempts import RequestCompleted
from schemas.calls import HoldRequest
from schemas.envelope import now
from schemas.money import Usage
from schemas.requests import KeyRef
from services.settlement.errors import ApiError
from tests.integration.settlement.ledger import PRICES, Ledger, running_ledger
from tests.integration.settlement.rebuilt import differences
from tests.integration.settlement.requests_made import attempt_on, candidate, completion, hold_for

PASTS = int(os.environ.get("TOLLBOOK_REBUILD_PASTS", "6"))
STEPS = int(os.environ.get("TOLLBOOK_REBUILD_STEPS", "100"))
KEYS = [KeyRef(project_id=f"p{n % 2}", key_id=f"k{n}") for n in range(3)]
BUCKETS = {"direct": "credit", "pooled": "wallet"}


class Past:
    """Random operations on an account and a cost centre, from one seed. What the ledger refuses changes nothing."""

    def __init__(self, ledger: Ledger, seed: int) -> None:
        self.ledger = ledger
        self.dice = random.Random(seed)
        self.open: list[HoldRequest] = []
        self.expired: list[HoldRequest] = []
        self.completions: list[RequestCompleted] = []
        self.payments: list[str] = []
        self.disputes: list[str] = []
        self.runs: list[tuple[str, KeyRef]] = []
        ledger.top_up("a", "credit", "3")
        ledger.top_up("a", "wallet", "30")
        ledger.cost_centre("c", "credit", "3")

    def live(self, steps: int) -> None:
        """So many operations, holds and completions more often than the rest."""
        often: list[Callable[[], None]] = [self.hold, self.hold, self.complete]
        seldom = [
            self.top_up, self.limit, self.expire, self.late, self.repeat, self.refund, self.adjust, self.promote,
            self.charge_back, self.reinstate, self.open_run, self.extend_run, self.close_run, self.reprice,
        ]  # fmt: skip
        for _ in range(steps):
            try:
                self.dice.choice(often if self.dice.random() < 0.65 else seldom)()
            except ApiError:
                continue

    def hold(self) -> None:
        route = self.dice.choice(list(BUCKETS))
        run_id, key = self.dice.choice([*self.runs, (None, self.dice.choice(KEYS))])
        account = "c" if run_id is None and route == "direct" and self.dice.random() < 0.25 else "a"
        overdue = self.dice.random() < 0.2
        hold = hold_for(
            account,
            key=key,
            run_id=run_id,
            candidates=[candidate(route, self.dice.choice(["gpt-4o", "gpt-4o-mini"]))],
            input_tokens_bound=self.dice.randrange(1, 2000),
            max_output_tokens=self.dice.randrange(1, 3000),
            deadline_at=now() + timedelta(minutes=-5 if overdue else 5),
        )
        if self.ledger.hold(hold)[0]["status"] == "held":
            self.open.append(hold)

    def complete(self) -> None:
        if self.open:
            self._complete(self.open.pop(self.dice.randrange(len(self.open))))

    def late(self) -> None:
        if self.expired:
            self._complete(self.expired.pop())

    def repeat(self) -> None:
        if self.completions:
            event = self.dice.choice(self.completions)
            again = event if self.dice.random() < 0.5 else event.model_copy(update={"event_id": uuid4()})
            self.ledger.complete(again)

    def expire(self) -> None:
        overdue = [hold for hold in self.open if hold.deadline_at < now()]
        if overdue and self.ledger.expire(overdue[0].hold_id):
            self.open.remove(overdue[0])
            self.expired.append(overdue[0])

    def top_up(self) -> None:
        payment = uuid4().hex
        self.ledger.top_up("a", self.dice.choice(["credit", "wallet"]), self._amount(0.4), payment)
        self.payments.append(payment)

    def limit(self) -> None:
        kind, entity = self.dice.choice([("account", "a"), ("project", "p0"), ("key", "k1"), ("bucket", "credit")])
        window = self.dice.choice(["total", "day", "month"])
        self.ledger.limit("a", kind, entity, window, self.dice.choice([None, None, self._amount(4)]))

    def refund(self) -> None:
        charged = [event for event in self.completions if event.data.charged_attempt is not None]
        if charged:
            event = self.dice.choice(charged)
            assert event.request_id is not None
            self.ledger.refund(event.account_id, event.request_id, self.dice.choice([None, self._amount(0.002)]))

    def adjust(self) -> None:
        sign = self.dice.choice(["", "-"])
        self.ledger.adjust("a", self.dice.choice(["credit", "wallet"]), sign + self._amount(0.05))

    def promote(self) -> None:
        self.ledger.promote("a", "credit", self._amount(0.1), now() + timedelta(seconds=self.dice.choice([0.001, 60])))
        self.ledger.expire_promotions()

    def charge_back(self) -> None:
        if self.payments:
            dispute = uuid4().hex
            self.ledger.charge_back(self.payments.pop(), dispute_id=dispute)
            self.disputes.append(dispute)

    def reinstate(self) -> None:
        if self.disputes:
            self.ledger.reinstate(self.disputes.pop())

    def open_run(self) -> None:
        key = self.dice.choice(KEYS)
        budget = {self.dice.choice(["credit", "wallet"]): self._amount(0.1)}
        self.runs.append((self.ledger.open_run("a", key, budget, reserve=self.dice.random() < 0.6), key))

    def extend_run(self) -> None:
        if self.runs:
            run, key = self.dice.choice(self.runs)
            self.ledger.extend_run("a", run, key, budget={"credit": self._amount(0.05)})

    def close_run(self) -> None:
        if self.runs:
            run, key = self.runs.pop(self.dice.randrange(len(self.runs)))
            self.ledger.close_run("a", run, key)
            self.ledger.close_due_runs()

    def reprice(self) -> None:
        prices = PRICES.read_text("utf-8").replace('input: "2.5"', f'input: "{self.dice.randrange(1, 9)}"')
        self.ledger.publish(prices)

    def _complete(self, hold: HoldRequest) -> None:
        """Charged within its hold or above it, given back, or ended by the second of two holds of the request."""
        usage = Usage(input_tokens=self.dice.randrange(3000), output_tokens=self.dice.randrange(4000))
        charged = None if self.dice.random() < 0.25 else 1
        attempts = [attempt_on(hold, usage=usage, operator_cost_nano=self.dice.randrange(500), operator_cost_currency="USD")]
        holds = [hold.hold_id]
        second = self._second(hold) if self.dice.random() < 0.4 else None
        if second is not None:
            attempts.append(attempt_on(second, 2, usage=usage))
            holds.append(second.hold_id)
            charged = self.dice.choice([1, 2])
        event = completion(hold, attempts=attempts, charged=charged, hold_ids=holds)
        self.completions.append(event.model_copy(update={"run_id": hold.run_id}))
        self.ledger.complete(self.completions[-1])

    def _second(self, hold: HoldRequest) -> HoldRequest | None:
        """Another hold of the same request, in either bucket, if it is granted."""
        route = self.dice.choice(list(BUCKETS))
        fields = {"key": hold.key, "run_id": hold.run_id, "request_id": hold.request_id, "candidates": [candidate(route)]}
        second = hold_for(hold.account_id, **fields)
        return second if self.ledger.hold(second)[0]["status"] == "held" else None

    def _amount(self, most: float) -> str:
        return f"{self.dice.randrange(1, int(most * 10**9))}e-9"


@pytest.mark.parametrize("seed", range(PASTS))
def test_any_past_is_rebuilt_to_the_last_unit(database_url: str, seed: int) -> None:
    with running_ledger(database_url) as ledger:
        past = Past(ledger, seed)
        for _ in range(4):
            past.live(STEPS // 4)
            assert differences(ledger, past.completions) == []
        ledger.assert_sound()
        assert ledger.count("receipt") > 5


def test_a_unit_that_is_moved_behind_the_events_back_is_noticed(database_url: str) -> None:
    with running_ledger(database_url) as ledger:
        past = Past(ledger, 0)
        past.live(STEPS // 2)
        ledger.connection.execute(
            "update bucket_balance set posted = posted + 1 where holder = 'a' and run = '' and bucket = 'credit'"
        )
        [difference] = differences(ledger, past.completions)
        assert difference.startswith("a ('credit', '')")
