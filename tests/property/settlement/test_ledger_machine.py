"""Any sequence of operations, in any order, as often as one likes: the invariants hold and the model agrees after each."""

import os
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

from schemas.attempts import RequestCompleted
from schemas.calls import HoldProgress, HoldRequest, ProgressBatch
from schemas.envelope import new_id, now
from schemas.money import Usage, format_amount
from schemas.requests import KeyRef
from services.settlement.errors import ConflictError, LostLeaseError
from services.settlement.hold_progress import renew
from services.settlement.records import Record
from services.settlement.relay_store import OutboxSource
from tests.integration.settlement.ledger import Ledger
from tests.integration.settlement.requests_made import attempt_on, candidate, completion, hold_for
from tests.property.settlement.model import BUCKETS, Model, ModelHold

KEYS = [KeyRef(project_id=f"p{n // 2}", key_id=f"k{n}", key_name="") for n in range(3)]
MODELS = ["gpt-4o", "gpt-4o-mini", "gpt-4.1"]
SEQUENCES = int(os.environ.get("TOLLBOOK_PROPERTY_SEQUENCES", "25"))
STEPS = int(os.environ.get("TOLLBOOK_PROPERTY_STEPS", "30"))

routes = st.sampled_from(sorted(BUCKETS))
nano = st.integers(1, 30_000_000)
usages = st.builds(
    Usage,
    input_tokens=st.integers(0, 600),
    cached_input_tokens=st.integers(0, 300),
    cache_write_tokens=st.integers(0, 50),
    output_tokens=st.integers(0, 150),
)
specs = st.fixed_dictionaries(
    {
        "route": routes,
        "models": st.lists(st.sampled_from(MODELS), min_size=1, max_size=2, unique=True),
        "key": st.sampled_from(KEYS),
        "input": st.integers(0, 600),
        "output": st.one_of(st.none(), st.integers(0, 150)),
        "choices": st.sampled_from([1, 1, 1, 2]),
    }
)
pick = st.integers(0, 10**6)


class LedgerMachine(RuleBasedStateMachine):
    """Operations on one account of a ledger of its own."""

    def __init__(self, database_url: str) -> None:
        super().__init__()
        self.ledger = Ledger(database_url)
        ledger = self.ledger
        self.account = f"account-{uuid4().hex[:8]}"
        self.model = Model(prices=dict(ledger.books.in_force.prices))
        self.payments: list[tuple[str, str, str]] = []
        self.asked: list[tuple[HoldRequest, dict[str, Any]]] = []
        self.records: list[Record] = []
        self.events: list[RequestCompleted] = []

    @initialize(amounts=st.tuples(nano, nano))
    def begin(self, amounts: tuple[int, int]) -> None:
        for bucket, amount in zip(("credit", "wallet"), amounts, strict=True):
            self.top_up(bucket, amount)

    @rule(bucket=st.sampled_from(["credit", "wallet"]), amount=nano)
    def top_up(self, bucket: str, amount: int) -> None:
        self.payments.append((bucket, format_amount(amount), uuid4().hex))
        self.ledger.top_up(self.account, *self.payments[-1])
        self.model.top_up(bucket, amount)

    @rule(which=pick)
    def repeat_a_payment(self, which: int) -> None:
        self.ledger.top_up(self.account, *self.payments[which % len(self.payments)])

    @rule(which=pick)
    def forge_a_payment(self, which: int) -> None:
        bucket, _, payment = self.payments[which % len(self.payments)]
        with pytest.raises(ConflictError):
            self.ledger.top_up(self.account, bucket, "99", payment)

    @rule(
        kind=st.sampled_from(["account", "project", "key"]),
        key=st.sampled_from(KEYS),
        route=routes,
        window=st.sampled_from(["total", "day", "month"]),
        limit=st.one_of(st.none(), nano),
    )
    def set_a_limit(self, kind: str, key: KeyRef, route: str, window: str, limit: int | None) -> None:
        entity = {"account": self.account, "project": key.project_id, "key": key.key_id}[kind]
        currency = BUCKETS[route][1]
        text = None if limit is None else format_amount(limit)
        self.ledger.limit(self.account, kind, entity, window, text, currency)
        self.model.limits.setdefault((kind, entity, currency), {})[window] = limit

    @rule(batch=st.lists(specs, min_size=1, max_size=3), overdue=st.booleans())
    def place(self, batch: list[dict[str, Any]], overdue: bool) -> None:
        requests = [self._request(spec, overdue) for spec in batch]
        answers = self.ledger.hold(*requests)
        for request, answer in zip(requests, answers, strict=True):
            outcome, amount, cap = self.model.place(request)
            assert (answer.get("code") or answer["status"]) == outcome
            assert (answer["amount_nano"] if outcome == "held" else answer["needed_nano"]) == amount
            assert outcome != "held" or answer["output_cap"] == cap
            self.asked.append((request, answer))

    @precondition(lambda self: self.asked)
    @rule(which=pick)
    def ask_again(self, which: int) -> None:
        request, answer = self.asked[which % len(self.asked)]
        assert self.ledger.hold(request) == [answer]

    @precondition(lambda self: self.model.holds)
    @rule(which=pick, tokens=st.tuples(st.integers(0, 600), st.integers(0, 300)), overdue=st.booleans())
    def stream(self, which: int, tokens: tuple[int, int], overdue: bool) -> None:
        hold = self._hold(which)
        deadline = now() + timedelta(minutes=-1 if overdue else 1)
        sign = HoldProgress(hold_id=hold.request.hold_id, deadline_at=deadline, input_tokens=tokens[0], output_tokens=tokens[1])
        closed = renew(self.ledger.connection, ProgressBatch(holds=[sign]))
        assert closed == ([] if hold.state == "HELD" else [hold.request.hold_id])
        if hold.state == "HELD":
            hold.progress = (max(hold.progress[0], tokens[0]), max(hold.progress[1], tokens[1]))

    @precondition(lambda self: self.model.holds)
    @rule(which=pick, usage=usages, candidate_at=pick)
    def capture(self, which: int, usage: Usage, candidate_at: int) -> None:
        hold = self._hold(which)
        request = hold.request
        assume(request.request_id not in self.model.settled)
        model = request.candidates[candidate_at % len(request.candidates)].model
        self._settle(completion(request, attempts=[attempt_on(request, upstream_model=model, usage=usage)]))
        self.model.capture(hold, model, usage)
        self.model.settled.add(request.request_id)

    @precondition(lambda self: self.model.holds)
    @rule(which=pick)
    def release(self, which: int) -> None:
        hold = self._hold(which)
        assume(hold.request.request_id not in self.model.settled)
        self._settle(completion(hold.request, charged=None, attempts=[attempt_on(hold.request, outcome="failed")]))
        if hold.state == "HELD":
            hold.state = "RELEASED"
        self.model.settled.add(hold.request.request_id)

    @precondition(lambda self: self.model.holds)
    @rule(which=pick, spec=specs, usage=usages)
    def fall_back_to_another_bucket(self, which: int, spec: dict[str, Any], usage: Usage) -> None:
        first = self._hold(which)
        assume(first.request.request_id not in self.model.settled)
        request = self._request(spec, overdue=False).model_copy(update={"request_id": first.request.request_id})
        answer = self.ledger.hold(request)[0]
        self.asked.append((request, answer))
        if self.model.place(request)[0] != "held":
            return
        second, model = self.model.holds[request.hold_id], request.candidates[0].model
        attempts = [attempt_on(first.request, outcome="failed"), attempt_on(request, 2, usage=usage)]
        ids = [first.request.hold_id, request.hold_id]
        self._settle(completion(first.request, attempts=attempts, charged=2, hold_ids=ids))
        if first.state == "HELD":
            first.state = "RELEASED"
        self.model.capture(second, model, usage)
        self.model.settled.add(request.request_id)

    @precondition(lambda self: self.events)
    @rule(which=st.lists(pick, min_size=1, max_size=4))
    def deliver_events_again(self, which: list[int]) -> None:
        self._deliver([self.events[each % len(self.events)].to_json() for each in which])

    @precondition(lambda self: self.events)
    @rule(which=pick)
    def forge_an_event(self, which: int) -> None:
        event = self.events[which % len(self.events)]
        self._deliver([event.model_copy(update={"environment": uuid4().hex}).to_json()])
        self.model.cases += 1

    @precondition(lambda self: self.events)
    @rule(which=pick)
    def complete_a_request_twice(self, which: int) -> None:
        event = self.events[which % len(self.events)]
        self._deliver([event.model_copy(update={"event_id": new_id()}).to_json()])
        self.model.cases += 1

    @rule(usage=usages)
    def charge_a_hold_that_nobody_placed(self, usage: Usage) -> None:
        request = hold_for(self.account)
        self._settle(completion(request, attempts=[attempt_on(request, usage=usage)]))
        self.model.cases += 1

    @rule(payload=st.binary(max_size=30))
    def deliver_poison(self, payload: bytes) -> None:
        self._deliver([payload])

    @precondition(lambda self: self.model.holds)
    @rule(which=pick)
    def expire(self, which: int) -> None:
        hold = self._hold(which)
        row = self.ledger.rows("select expires_at < now() as overdue from hold where id = %s", hold.request.hold_id)[0]
        overdue = hold.state == "HELD" and row["overdue"]
        assert self.ledger.expire(hold.request.hold_id) == int(overdue)
        if overdue:
            self.model.expire(hold)

    @rule()
    def set_the_offset_back_and_read_everything_again(self) -> None:
        if self.records:
            first = self.records[0].offset
            moved = "update consumer_offset set next = %s, consumed = %s, settled = %s"
            self.ledger.connection.execute(moved, [first, first, first])
            self.ledger.worker = self.ledger.new_worker(self.ledger.connection)
            before = self.ledger.count("posting")
            self.ledger.worker.settle(self.records)
            assert self.ledger.count("posting") == before

    @rule()
    def let_a_successor_take_the_lease(self) -> None:
        zombie = self.ledger.worker
        self.ledger.worker = self.ledger.new_worker(self.ledger.connection)
        with pytest.raises(LostLeaseError):
            zombie.settle([Record(0, self.ledger.offset, b"x", b"{}", "RequestCompleted")])

    @rule(limit=st.integers(1, 20))
    def publish_some_of_the_outbox(self, limit: int) -> None:
        source = OutboxSource()
        source.published(self.ledger.connection, [row for row, _ in source.next(self.ledger.connection, limit)])

    @invariant()
    def the_ledger_is_sound(self) -> None:
        self.ledger.assert_sound()

    @invariant()
    def the_model_agrees(self) -> None:
        for bucket in ("credit", "wallet"):
            assert self.ledger.balance(self.account, bucket) == (self.model.posted[bucket], self.model.held(bucket))
        rows = self.ledger.rows("select bucket, overrun from bucket_balance where holder = %s", self.account)
        assert {row["bucket"]: row["overrun"] for row in rows} == (self.model.owed if rows else {})
        states = self.ledger.rows(
            "select id, state, captured_nano from hold where holder = %s and state <> 'REFUSED'", self.account
        )
        assert {row["id"]: (row["state"], row["captured_nano"]) for row in states} == {
            hold_id: (hold.state, hold.captured_nano) for hold_id, hold in self.model.holds.items()
        }
        found = self.ledger.rows('select count(*) as n from "case" where holder = %s', self.account)
        assert found == [{"n": self.model.cases}]

    def teardown(self) -> None:
        """Every request that was asked for has a receipt that renders."""
        for request, _ in self.asked:
            receipt = self.ledger.receipt(self.account, request.request_id)
            assert receipt["explanation"]
        self.ledger.close()

    def _request(self, spec: dict[str, Any], overdue: bool) -> HoldRequest:
        return hold_for(
            self.account,
            key=spec["key"],
            candidates=[candidate(spec["route"], model) for model in spec["models"]],
            input_tokens_bound=spec["input"],
            max_output_tokens=spec["output"],
            choices=spec["choices"],
            deadline_at=now() + timedelta(minutes=-1 if overdue else 10),
        )

    def _hold(self, which: int) -> ModelHold:
        holds = list(self.model.holds.values())
        return holds[which % len(holds)]

    def _settle(self, event: RequestCompleted) -> None:
        self.events.append(event)
        self._deliver([event.to_json()])

    def _deliver(self, payloads: list[bytes]) -> None:
        start = self.ledger.offset
        records = [
            Record(0, start + at, self.account.encode(), payload, "RequestCompleted") for at, payload in enumerate(payloads)
        ]
        self.ledger.offset += len(records)
        self.records += records
        self.ledger.worker.settle(records)


@pytest.mark.timeout(0)
def test_any_sequence_of_operations_keeps_the_ledger_sound(database_url: str) -> None:
    run_state_machine_as_test(
        lambda: LedgerMachine(database_url),  # type: ignore[arg-type]  # a factory does, as its docs say
        settings=settings(
            max_examples=SEQUENCES,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )
