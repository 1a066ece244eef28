"""Operations of router on holds: asked for in batches, asked again, kept alive, left to expire."""

from datetime import timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition

from schemas.calls import HoldProgress
from schemas.envelope import new_id
from tests.integration.settlement.requests_made import candidate
from tests.property.settlement.backend import GRACE_S
from tests.property.settlement.machine.base import LedgerBase
from tests.property.settlement.machine.operations import operation, work
from tests.property.settlement.machine.strategies import pick, specs
from tests.property.settlement.model.values import ModelHold

NOBODYS_RUN = "run_00000000000000000000000000000000"


class HoldRules(LedgerBase):
    """What router asks for."""

    @work(batch=st.lists(specs, min_size=1, max_size=4))
    def place(self, batch: list[dict[str, Any]]) -> None:
        self.ask(*[self.request(spec) for spec in batch])

    @operation("holds", spec=specs, bad=st.sampled_from(["no price", "no run", "too dear"]), first=st.booleans())
    def place_a_batch_with_a_bad_one(self, spec: dict[str, Any], bad: str, first: bool) -> None:
        fields: dict[str, dict[str, Any]] = {
            "no price": {"candidates": [candidate(spec["route"], "nobody-sells-this")]},
            "no run": {"run_id": NOBODYS_RUN},
            "too dear": {"max_output_tokens": 16_384, "choices": 128},
        }
        good, refused = self.request(spec), self.request(spec, **fields[bad])
        answers = self.ask(*((refused, good) if first else (good, refused)))
        assert answers[0 if first else 1].code != "held"

    @operation("holds", spec=specs)
    def ask_twice_in_one_batch(self, spec: dict[str, Any]) -> None:
        request = self.request(spec)
        (answer,) = self.ledger.hold(request)
        self.decided(request, answer)
        assert self.ledger.hold(request, request) == [answer, answer]

    @precondition(lambda self: self.asked)
    @operation("holds", which=pick, spec=specs)
    def ask_again_among_others(self, which: int, spec: dict[str, Any]) -> None:
        """What was decided stays decided, granted or refused; what stands beside it in the batch is decided now."""
        request, answer = self.asked[which % len(self.asked)]
        new = self.request(spec)
        again, fresh = self.ledger.hold(request, new)
        assert again == answer
        self.decided(new, fresh)

    @precondition(lambda self: self.asked)
    @operation("holds", which=pick, spec=specs)
    def reuse_the_id_of_another_hold(self, which: int, spec: dict[str, Any]) -> None:
        used, _ = self.asked[which % len(self.asked)]
        (answer,) = self.ledger.hold(self.request(spec, hold_id=used.hold_id))
        assert answer["code"] == "hold_id_conflict"

    @precondition(lambda self: self.model.holds)
    @work(which=pick, tokens=st.tuples(st.integers(0, 600), st.integers(0, 300)), minutes=st.sampled_from([-1, 1, 30]))
    def stream(self, which: int, tokens: tuple[int, int], minutes: int) -> None:
        hold = self._any_hold(which)
        deadline = self.clock.now + timedelta(minutes=minutes)
        hold_id = hold.request.hold_id
        sign = HoldProgress(hold_id=hold_id, deadline_at=deadline, input_tokens=tokens[0], output_tokens=tokens[1])
        closed = self.ledger.renew(sign)
        assert closed == ([] if self.model.renew(sign) else [hold_id])

    @operation("holds", tokens=st.integers(0, 600))
    def renew_a_hold_that_nobody_placed(self, tokens: int) -> None:
        sign = HoldProgress(hold_id=new_id(), deadline_at=self.clock.now, input_tokens=tokens, output_tokens=tokens)
        assert self.ledger.renew(sign) == [sign.hold_id]

    @precondition(lambda self: self.model.holds)
    @work(which=pick, grace_s=st.sampled_from([0.0, 0.0, GRACE_S]))
    def expire(self, which: int, grace_s: float) -> None:
        hold_id = self._any_hold(which).request.hold_id
        assert self.ledger.expire(hold_id, grace_s=grace_s) == int(self.model.expire(hold_id, grace_s))

    @operation("holds", grace_s=st.sampled_from([GRACE_S, 30.0]))
    def sweep(self, grace_s: float) -> None:
        expired = self.ledger.sweep(grace_s=grace_s)
        assert expired == sum(self.model.expire(hold_id, grace_s) for hold_id in sorted(self.model.holds))
        self.ledger.assert_sound(patience_s=grace_s)

    def _any_hold(self, which: int) -> ModelHold:
        holds = list(self.model.holds.values())
        return holds[which % len(holds)]
