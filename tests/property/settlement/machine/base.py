"""The machine without its rules: a ledger, the model beside it, and what was done so far."""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant

from schemas.attempts import RequestCompleted
from schemas.calls import HoldRequest
from schemas.envelope import new_id
from schemas.money import format_amount
from services.settlement.errors import ApiError
from services.settlement.records import Record
from tests.integration.settlement.requests_made import candidate, hold_for
from tests.property.settlement.backend import Backend
from tests.property.settlement.books import BOOKS
from tests.property.settlement.machine.operations import chosen_operations
from tests.property.settlement.machine.strategies import nano, specs
from tests.property.settlement.model.account import Account
from tests.property.settlement.model.holding import place
from tests.property.settlement.model.settling import Delivery, Settling
from tests.property.settlement.model.values import Answer, ModelHold


class LedgerBase(RuleBasedStateMachine):
    """One sequence on an empty ledger. `steps` counts what it did, by kind."""

    def __init__(self, backend: Backend) -> None:
        super().__init__()
        # Hypothesis would leave out most rules in most sequences, and then nothing ever happens to a hold.
        vars(self._rules_strategy)["enabled_rules_strategy"] = chosen_operations(self)
        self.ledger = backend
        self.ledger.reset()
        self.clock = backend.clock
        self.account = backend.account
        self.model = Account(self.account, self.clock)
        self.settling = Settling(self.model)
        self.steps: Counter[str] = Counter()
        self.payments: list[tuple[str, str, str]] = []
        self.asked: list[tuple[HoldRequest, dict[str, Any]]] = []
        self.records: list[Record] = []
        self.deliveries: list[Delivery] = []
        self.events: list[RequestCompleted] = []
        self.waiting: list[RequestCompleted] = []
        self.limits_set: list[tuple[str, str, str, str]] = []
        self.completed: set[UUID] = set()

    @initialize(amounts=st.tuples(nano, nano), first=st.lists(specs, min_size=1, max_size=3))
    def begin(self, amounts: tuple[int, int], first: list[dict[str, Any]]) -> None:
        """A price book, money in both prepaid buckets, and requests under way."""
        self.steps["begin"] += 1
        self.publish(0)
        for bucket, amount in zip(("credit", "wallet"), amounts, strict=True):
            self.pay(bucket, amount)
        self.ask(*[self.request(spec) for spec in first])

    @invariant()
    def the_ledger_is_sound(self) -> None:
        """I1 to I13."""
        self.ledger.assert_sound()

    @invariant()
    def the_model_agrees(self) -> None:
        """To the last unit, everywhere."""
        state, model = self.ledger.state(), self.model
        pots = {key: (pot.posted, model.held(*key), pot.owed) for key, pot in model.pots.items()}
        assert state.pots == pots, (state.pots, pots)
        assert state.holds == {
            hold_id: (hold.state, hold.amount_nano, hold.captured_nano, hold.released_nano)
            for hold_id, hold in model.holds.items()
        }
        assert state.windows == {key: model.used(key[:4], key[4]) for key in state.windows}
        assert state.receipts == {
            request_id: (receipt.status, receipt.charge_nano, receipt.overrun_nano, receipt.written_off_nano)
            for request_id, receipt in model.receipts.items()
        }
        assert state.cases == model.cases
        assert state.dead_letters == model.dead_letters
        assert Counter(state.booked) == model.booked
        assert state.runs == {
            run.id: (run.state, {bucket: (budget, run.returned[bucket]) for bucket, budget in run.budget.items()})
            for run in model.runs.values()
        }

    def publish(self, which: int) -> None:
        """One of the price books."""
        book = BOOKS[which]
        assert self.ledger.publish(book.document) == self.model.publish(book)

    def pay(self, bucket: str, amount: int) -> None:
        """A payment that nobody has made before."""
        self.payments.append((bucket, format_amount(amount), new_id().hex))
        self.ledger.top_up(self.account, *self.payments[-1])
        self.model.top_up(bucket, amount)

    def request(self, spec: dict[str, Any], **fields: Any) -> HoldRequest:
        """A hold that nobody has asked for before, as drawn."""
        runs = list(self.model.runs.values())
        run = runs[spec["run"] % len(runs)] if spec["run"] is not None and runs else None
        candidates = [candidate(spec["route"], model) for model in spec["models"]]
        if spec["other"] is not None:
            candidates.append(candidate(spec["other"], spec["models"][0]))
        made: dict[str, Any] = {
            "key": spec["key"],
            "candidates": candidates,
            "input_tokens_bound": spec["input"],
            "max_output_tokens": spec["output"],
            "choices": spec["choices"],
            "run_id": run.id if run else None,
            "deadline_at": self.clock.now + timedelta(minutes=spec["minutes"]),
        }
        return hold_for(self.account, **{**made, **fields})

    def ask(self, *requests: HoldRequest) -> list[Answer]:
        """Ask for holds in one batch, and compare each answer with the model's."""
        answers = self.ledger.hold(*requests)
        return [self.decided(request, answer) for request, answer in zip(requests, answers, strict=True)]

    def decided(self, request: HoldRequest, answer: dict[str, Any]) -> Answer:
        """The model's answer to a new hold, which must be the ledger's."""
        wanted = place(self.model, request)
        assert answered(answer) == wanted
        self.asked.append((request, answer))
        return wanted

    @property
    def uncompleted(self) -> list[ModelHold]:
        """Holds whose request has no RequestCompleted yet, newest last."""
        return [hold for hold in self.model.holds.values() if hold.request.request_id not in self.completed]

    def complete(self, event: RequestCompleted, *, later: bool) -> None:
        """A new event of a request: settled now, or left waiting in the topic."""
        assert event.request_id is not None
        self.completed.add(event.request_id)
        self.events.append(event)
        if later:
            self.waiting.append(event)
        else:
            self.deliver([Delivery(event.to_json(), event)])

    def deliver(self, batch: Sequence[Delivery]) -> None:
        """Settle a batch of records."""
        self.ledger.settle(self.in_topic(batch))
        self.settling.deliver(batch)

    def in_topic(self, batch: Sequence[Delivery]) -> list[Record]:
        """The batch as records at the topic's end."""
        start = len(self.records)
        records = [
            Record(0, start + at, self.account.encode(), each.payload, "RequestCompleted") for at, each in enumerate(batch)
        ]
        self.records += records
        self.deliveries += batch
        return records

    @staticmethod
    def unless(refusal: str | None, call: Callable[[], Any]) -> Any:
        """What the call gives; where the model refuses it, the ledger must refuse it with the same code: then None."""
        if refusal is None:
            return call()
        with pytest.raises(ApiError) as refused:
            call()
        assert refused.value.code == refusal
        return None


def answered(answer: dict[str, Any]) -> Answer:
    """An answer as the model gives it."""
    held = answer["status"] == "held"
    envelope = None if held else answer["envelope"]
    return Answer(
        hold_id=UUID(answer["hold_id"]),
        code="held" if held else answer["code"],
        amount_nano=answer["amount_nano"] if held else answer["needed_nano"],
        cap=answer["output_cap"] if held else None,
        left_nano=None if held else answer["left_nano"],
        stopped_by=(envelope["kind"], envelope["id"], envelope["window"]) if envelope else None,
        held_nano=None if held else answer["held_nano"],
        passing=not held and answer["passing"],
    )
