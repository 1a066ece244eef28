"""What is read: by customers, operators and relays. Generated during the run, and compared with the model."""

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition

from schemas.envelope import new_id
from services.settlement.errors import NotFoundError
from tests.property.settlement.machine.base import LedgerBase
from tests.property.settlement.machine.operations import operation
from tests.property.settlement.machine.strategies import pick

BUCKETS = st.sampled_from(["credit", "wallet"])


class QueryRules(LedgerBase):
    """Reading changes nothing: the invariants that follow every step say so too."""

    @operation("readers")
    def read_balances(self) -> None:
        model = self.model
        for row in self.ledger.balances(self.account):
            pot, held = model.pots[row["bucket"], ""], model.held(row["bucket"])
            parked = sum(each.posted for (bucket, run), each in model.pots.items() if bucket == row["bucket"] and run)
            limits = [
                max(left, 0)
                for key in model.limits
                if key[:2] == ("bucket", row["bucket"]) and (left := model.left(key)) is not None
            ]
            assert (row["posted_nano"], row["held_nano"], row["overrun_nano"]) == (pot.posted, held, pot.owed)
            assert row["earmarked_nano"] == parked
            assert row["available_nano"] == (min(limits, default=0) if pot.by_limit else pot.posted - held)

    @operation("readers", bucket=BUCKETS, page=st.integers(1, 7))
    def read_moves_in_pages(self, bucket: str, page: int) -> None:
        moves = self.ledger.moves(self.account, bucket, page=page)
        assert [after for _, after in moves] == self.model.pots[bucket, ""].after
        assert all(first[1] == second[0] for first, second in pairwise(moves))

    @operation("readers")
    def read_limits(self) -> None:
        rows = self.ledger.limits(self.account)
        found = {(row["kind"], row["id"], row["currency"], row["window"]): row["limit_nano"] for row in rows}
        assert found == {key: limit for key, limit in self.model.limits.items() if key[0] != "run"}

    @precondition(lambda self: self.asked)
    @operation("readers", which=pick)
    def read_a_receipt(self, which: int) -> None:
        request = self.asked[which % len(self.asked)][0]
        receipt = self.ledger.receipt(self.account, request.request_id)
        holds = [each for each in self.model.holds.values() if each.request.request_id == request.request_id]
        settled = self.model.receipts.get(request.request_id)
        assert receipt["explanation"]
        assert {each["hold_id"]: each["state"].upper() for each in receipt["holds"] if each["state"] != "refused"} == {
            str(each.request.hold_id): each.state for each in holds
        }
        if settled and settled.status == "settled":
            assert receipt["charge"]["amount_nano"] == settled.charge_nano
            assert receipt["charge"]["overrun_nano"] == settled.overrun_nano
        if settled:
            assert receipt["status"] == settled.status

    @operation("readers")
    def read_a_receipt_that_is_not_there(self) -> None:
        with pytest.raises(NotFoundError):
            self.ledger.receipt(self.account, new_id())
        if self.asked:
            with pytest.raises(NotFoundError):
                self.ledger.receipt("somebody-else", self.asked[0][0].request_id)

    @operation("readers")
    def list_cases(self) -> None:
        assert self.ledger.cases(open_only=True) == +Counter(self.model.cases)

    @operation("operators", limit=st.integers(1, 20), acknowledged=st.integers(1, 2))
    def publish_some_events(self, limit: int, acknowledged: int) -> None:
        """Sent, and marked once; or marked again by a relay that had died before it heard of it."""
        self.ledger.publish_events(limit, acknowledged=acknowledged)
