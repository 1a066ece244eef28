"""Operations of clients on runs: opened, extended, closed, left to their deadline. Holds join them by `spec["run"]`."""

from datetime import timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition

from schemas.money import Usage, format_amount
from schemas.requests import KeyRef
from tests.integration.settlement.requests_made import attempt_on, candidate, completion
from tests.property.settlement.backend import Backend
from tests.property.settlement.machine.base import LedgerBase
from tests.property.settlement.machine.operations import operation
from tests.property.settlement.machine.settling_rules import FAR_TOO_MUCH
from tests.property.settlement.machine.strategies import budgets, keys, nano, pick, specs, usages
from tests.property.settlement.model import running
from tests.property.settlement.model.values import ModelRun

MINUTES = st.sampled_from([-1, 5, 60, 60 * 24 * 40])


class RunRules(LedgerBase):
    """Budgets of tasks."""

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        self.openings: list[tuple[str, KeyRef, dict[str, str], dict[str, Any]]] = []
        self.extensions: list[tuple[str, KeyRef, dict[str, Any]]] = []

    @operation("runs", key=keys, budget=budgets, reserve=st.booleans(), minutes=MINUTES)
    def open_a_run(self, key: KeyRef, budget: dict[str, int], reserve: bool, minutes: int) -> None:
        # A microsecond apart, so that runs that are due at once end in a known order.
        deadline = self.clock.now + timedelta(minutes=minutes, microseconds=len(self.model.runs))
        fields: dict[str, Any] = {"reserve": reserve, "deadline_at": deadline}
        fields["idempotency_key"] = f"open-{len(self.openings)}"
        asked = {bucket: format_amount(amount) for bucket, amount in budget.items()}
        refusal = running.refusal_of_opening(self.model, key, budget, reserve=reserve, deadline_at=deadline)
        run_id = self.unless(refusal, lambda: self.ledger.open_run(self.account, key, asked, **fields))
        if run_id is not None:
            self.openings.append((run_id, key, asked, fields))
            run = ModelRun(run_id, key.key_id, reserve, deadline, dict(sorted(budget.items())))
            running.open_run(self.model, run)

    @operation("runs", key=keys)
    def earmark_in_the_cost_centre(self, key: KeyRef) -> None:
        deadline = self.clock.now + timedelta(minutes=5)
        refusal = running.refusal_of_opening(self.model, key, {"team": 1}, reserve=True, deadline_at=deadline)
        assert refusal is not None
        self.unless(
            refusal,
            lambda: self.ledger.open_run(self.account, key, {"team": format_amount(1)}, deadline_at=deadline),
        )

    @precondition(lambda self: self.openings)
    @operation("runs", which=pick, forged=st.booleans())
    def open_a_run_again(self, which: int, forged: bool) -> None:
        run_id, key, budget, fields = self.openings[which % len(self.openings)]
        fields = {**fields, "deadline_at": self.clock.now + timedelta(minutes=1)}
        if not forged:
            assert self.ledger.open_run(self.account, key, budget, **fields) == run_id
            return
        refusal = "idempotency_conflict"
        self.unless(refusal, lambda: self.ledger.open_run(self.account, key, {"credit": "0.123"}, **fields))

    @precondition(lambda self: self.model.runs)
    @operation(
        "runs", which=pick, key=st.one_of(st.none(), st.none(), keys), budget=budgets, minutes=st.sampled_from([None, 1, 90])
    )
    def extend_a_run(self, which: int, key: KeyRef | None, budget: dict[str, int], minutes: int | None) -> None:
        run, key = self._run(which), key or self._key(which)
        deadline = None if minutes is None else run.deadline_at + timedelta(minutes=minutes)
        fields: dict[str, Any] = {"budget": {bucket: format_amount(amount) for bucket, amount in budget.items()}}
        fields |= {"deadline_at": deadline, "idempotency_key": f"extend-{len(self.extensions)}"}
        refusal = running.refusal_of_extension(self.model, run, key, budget, deadline)
        self.unless(refusal, lambda: self.ledger.extend_run(self.account, run.id, key, **fields))
        if refusal is None:
            self.extensions.append((run.id, key, fields))
            running.add_budget(self.model, run, dict(sorted(budget.items())))
            run.deadline_at = deadline or run.deadline_at

    @operation("runs", first=specs, others=st.lists(specs, max_size=3), usage=usages, amount=nano, beyond=st.booleans())
    def limit_a_run_in_a_bucket_where_it_has_spent(
        self, first: dict[str, Any], others: list[dict[str, Any]], usage: Usage, amount: int, beyond: bool
    ) -> None:
        """Without a reserve a run spends where its budget names no bucket; a limit that it gets there later counts that."""
        key, deadline, budget = first["key"], self.clock.now + timedelta(days=1), {"wallet": format_amount(1)}
        if running.refusal_of_opening(self.model, key, {"wallet": 1}, reserve=False, deadline_at=deadline) is not None:
            return
        fields = {"reserve": False, "deadline_at": deadline, "idempotency_key": f"open-{len(self.openings)}"}
        run_id = self.ledger.open_run(self.account, key, budget, **fields)
        self.openings.append((run_id, key, budget, fields))
        run = ModelRun(run_id, key.key_id, False, deadline, {"wallet": 1})
        running.open_run(self.model, run)
        joining: dict[str, Any] = {"key": key, "run_id": run_id, "candidates": [candidate("direct", "gpt-4o")]}
        requests = [self.request(spec, **joining) for spec in (first, *others)]
        answers = self.ask(*requests)
        held = [request for request, answer in zip(requests, answers, strict=True) if answer.code == "held"]
        for request in held[1:]:
            spent = FAR_TOO_MUCH if beyond else usage
            self.complete(completion(request, attempts=[attempt_on(request, usage=spent)]), later=False)
        fields = {"budget": {"credit": format_amount(amount)}, "idempotency_key": f"extend-{len(self.extensions)}"}
        refusal = running.refusal_of_extension(self.model, run, key, {"credit": amount}, None)
        self.unless(refusal, lambda: self.ledger.extend_run(self.account, run_id, key, **fields))
        if refusal is None:
            self.extensions.append((run_id, key, fields))
            running.add_budget(self.model, run, {"credit": amount})
        self.ask(self.request(first, **joining))

    @precondition(lambda self: self.extensions)
    @operation("runs", which=pick)
    def extend_a_run_again(self, which: int) -> None:
        run_id, key, fields = self.extensions[which % len(self.extensions)]
        self.ledger.extend_run(self.account, run_id, key, **{**fields, "deadline_at": None})

    @precondition(lambda self: self.model.runs)
    @operation("runs", which=pick, key=st.one_of(st.none(), st.none(), keys))
    def close_a_run(self, which: int, key: KeyRef | None) -> None:
        run, key = self._run(which), key or self._key(which)
        refusal = None if key.key_id == run.key_id else "run_not_allowed"
        self.unless(refusal, lambda: self.ledger.close_run(self.account, run.id, key))
        if refusal is None:
            running.close(self.model, run)

    @precondition(lambda self: self.model.runs)
    @operation("runs")
    def close_runs_that_are_due(self) -> None:
        assert self.ledger.close_due_runs() == running.close_due(self.model)

    @operation("runs", key=keys, amount=nano)
    def touch_a_run_that_nobody_opened(self, key: KeyRef, amount: int) -> None:
        budget = {"credit": format_amount(amount)}
        self.unless("run_not_found", lambda: self.ledger.extend_run(self.account, "run_none", key, budget=budget))
        self.unless("run_not_found", lambda: self.ledger.close_run(self.account, "run_none", key))

    def _run(self, which: int) -> ModelRun:
        return list(self.model.runs.values())[which % len(self.model.runs)]

    def _key(self, which: int) -> KeyRef:
        """The run's own key."""
        run_id = self._run(which).id
        return next(key for opened, key, _, _ in self.openings if opened == run_id)
