"""Operations of the settlement worker: completions in any order and as often as one likes, crashes, successors."""

from typing import Any
from uuid import uuid4

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition

from schemas.envelope import new_id
from schemas.money import Usage
from services.settlement.errors import LostLeaseError
from services.settlement.records import Record
from tests.integration.settlement.requests_made import attempt_on, completion, hold_for
from tests.property.settlement.backend import Died
from tests.property.settlement.machine.base import LedgerBase
from tests.property.settlement.machine.operations import operation, work
from tests.property.settlement.machine.strategies import pick, specs, usages
from tests.property.settlement.model.settling import Delivery
from tests.property.settlement.model.values import ModelHold

FAR_TOO_MUCH = Usage(input_tokens=20_000, output_tokens=4_000)
later = st.booleans()
orders = st.lists(pick, min_size=1, max_size=5)


class SettlingRules(LedgerBase):
    """What the topic brings, and what becomes of the worker."""

    @work(spec=specs, usage=usages, wait=later)
    def serve_a_request(self, spec: dict[str, Any], usage: Usage, wait: bool) -> None:
        """What happens most: a hold, and its answer."""
        request = self.request(spec)
        if self.ask(request)[0].code == "held":
            self.complete(completion(request, attempts=[attempt_on(request, usage=usage)]), later=wait)

    @precondition(lambda self: self.uncompleted)
    @work()
    def answer_the_oldest_request(self) -> None:
        """The simplest rule, which Hypothesis takes most often: so that it is worth it."""
        request = self.uncompleted[0].request
        self.complete(completion(request, attempts=[attempt_on(request)]), later=False)

    @precondition(lambda self: self.uncompleted)
    @work(which=pick, usage=usages, candidate_at=pick, cost=st.sampled_from([None, 1, 700_001]), wait=later)
    def capture(self, which: int, usage: Usage, candidate_at: int, cost: int | None, wait: bool) -> None:
        request = self._hold(which).request
        answered = request.candidates[candidate_at % len(request.candidates)]
        fields: dict[str, Any] = {"route_type": answered.route_type, "upstream_model": answered.model, "usage": usage}
        if cost is not None:
            fields |= {"operator_cost_nano": cost, "operator_cost_currency": "EUR"}
        self.complete(completion(request, attempts=[attempt_on(request, **fields)]), later=wait)

    @precondition(lambda self: self.uncompleted)
    @work(which=pick, wait=later)
    def capture_far_above_the_hold(self, which: int, wait: bool) -> None:
        request = self._hold(which).request
        self.complete(completion(request, attempts=[attempt_on(request, usage=FAR_TOO_MUCH)]), later=wait)

    @precondition(lambda self: self.uncompleted)
    @work(which=pick, wait=later)
    def release(self, which: int, wait: bool) -> None:
        request = self._hold(which).request
        event = completion(request, charged=None, attempts=[attempt_on(request, outcome="failed")])
        self.complete(event, later=wait)

    @precondition(lambda self: self.uncompleted)
    @work(which=pick, spec=specs, usage=usages, wait=later, first_answered=st.booleans())
    def fall_back_to_another_bucket(
        self, which: int, spec: dict[str, Any], usage: Usage, wait: bool, first_answered: bool
    ) -> None:
        """A second hold of the same request; the event ends both, whichever attempt answered."""
        first = self._hold(which).request
        second = self.request(spec, request_id=first.request_id)
        if self.ask(second)[0].code != "held":
            return
        attempts = [attempt_on(first, usage=usage), attempt_on(second, 2, usage=usage)]
        charged = 1 if first_answered else 2
        self.complete(
            completion(first, attempts=attempts, charged=charged, hold_ids=[first.hold_id, second.hold_id]), later=wait
        )

    @precondition(lambda self: self.uncompleted)
    @operation("letters", which=pick, usage=usages, unlisted=st.booleans())
    def charge_what_has_no_price(self, which: int, usage: Usage, unlisted: bool) -> None:
        """It contradicts its price book or itself, so it is set aside; the hold stays open."""
        request = self._hold(which).request
        attempt = attempt_on(request, upstream_model="nobody-sells-this", usage=usage)
        event = completion(request, attempts=[attempt], charged=7 if unlisted else 1)
        self.deliver([Delivery(event.to_json(), event)])

    @precondition(lambda self: self.waiting)
    @work(order=orders, twice=st.booleans())
    def deliver_what_waits(self, order: list[int], twice: bool) -> None:
        """In any order, and perhaps doubled within the batch."""
        batch = self._shuffled(order)
        self.deliver(batch + batch[:2] if twice else batch)

    @precondition(lambda self: self.waiting)
    @operation("topic", order=orders)
    def die_in_the_middle_of_a_batch(self, order: list[int]) -> None:
        """Nothing of it stays; the successor reads the same records and settles them."""
        batch = self._shuffled(order)
        records = self.in_topic(batch)
        with pytest.raises(Died):
            self.ledger.die_while_settling(records)
        self.the_ledger_is_sound()
        self.the_model_agrees()
        self.ledger.settle(records)
        self.settling.deliver(batch)

    @precondition(lambda self: self.events)
    @operation("topic", which=orders)
    def deliver_events_again(self, which: list[int]) -> None:
        events = [self.events[each % len(self.events)] for each in which]
        self.deliver([Delivery(event.to_json(), event) for event in events if event not in self.waiting])

    @precondition(lambda self: self.events)
    @operation("topic", which=pick)
    def forge_an_event(self, which: int) -> None:
        event = self.events[which % len(self.events)].model_copy(update={"environment": uuid4().hex})
        if event.event_id not in {each.event_id for each in self.waiting}:
            self.deliver([Delivery(event.to_json(), event)])

    @precondition(lambda self: self.events)
    @operation("topic", which=pick)
    def complete_a_request_twice(self, which: int) -> None:
        event = self.events[which % len(self.events)].model_copy(update={"event_id": new_id()})
        self.deliver([Delivery(event.to_json(), event)])

    @precondition(lambda self: len(self.model.holds) > 1)
    @operation("topic", which=st.tuples(pick, pick), usage=usages)
    def charge_a_hold_of_another_request(self, which: tuple[int, int], usage: Usage) -> None:
        holds = list(self.model.holds.values())
        mine, other = (holds[each % len(holds)].request for each in which)
        if mine.request_id in self.completed or mine.request_id == other.request_id:
            return
        attempt = attempt_on(other, usage=usage)
        self.complete(completion(mine, attempts=[attempt], hold_ids=[other.hold_id]), later=False)

    @operation("topic", usage=usages)
    def charge_a_hold_that_nobody_placed(self, usage: Usage) -> None:
        request = hold_for(self.account)
        self.complete(completion(request, attempts=[attempt_on(request, usage=usage)]), later=False)

    @operation("letters", payload=st.binary(max_size=20))
    def deliver_poison(self, payload: bytes) -> None:
        self.deliver([Delivery(payload, None)])

    @precondition(lambda self: self.records)
    @operation("topic")
    def set_the_offset_back_and_read_everything_again(self) -> None:
        before = self.ledger.state()
        self.ledger.rewind(0)
        self.ledger.settle(self.records)
        assert self.ledger.state() == before

    @operation("topic", payload=st.binary(max_size=20))
    def let_a_successor_take_the_lease(self, payload: bytes) -> None:
        """What the zombie read before is settled by nobody twice."""
        zombie = self.ledger.take_over()
        with pytest.raises(LostLeaseError):
            zombie([Record(0, len(self.records), self.account.encode(), payload, "RequestCompleted")])

    def _hold(self, which: int) -> ModelHold:
        return self.uncompleted[which % len(self.uncompleted)]

    def _shuffled(self, order: list[int]) -> list[Delivery]:
        """What waits, taken one by one from wherever the numbers point; as many as there are numbers."""
        taken = [self.waiting.pop(each % len(self.waiting)) for each in order[: len(self.waiting)]]
        return [Delivery(event.to_json(), event) for event in taken]
