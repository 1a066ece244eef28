"""The ledger in memory, as the machine drives it."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from schemas.calls import HoldProgress, HoldRequest
from schemas.control import ControlRecord
from schemas.requests import KeyRef
from schemas.runs import RunExtension, RunOpening
from services.settlement.adjustments import Adjustment
from services.settlement.chargebacks import Chargeback, Reinstatement
from services.settlement.control import Frozen
from services.settlement.hold_store import conflict
from services.settlement.holds import HoldOrder, answer_again
from services.settlement.money_in import LimitChange, TopUp
from services.settlement.pricebook import BookDocument
from services.settlement.promotions import Promotion
from services.settlement.records import Record
from services.settlement.refunds import Refund
from services.settlement.runs import RunFacts
from tests.integration.settlement.corrections import SAID
from tests.property.settlement.backend import NEVER_S, Settle, State
from tests.property.settlement.clock import Clock
from tests.property.settlement.memory import check, holding, paying, reading, settling
from tests.property.settlement.memory.correcting import MemoryCorrections
from tests.property.settlement.memory.running import MemoryRuns
from tests.property.settlement.memory.settling import MemoryWorker
from tests.property.settlement.memory.tables import Tables


class MemoryLedger:
    """Tables, a clock, a worker."""

    account = "acme"

    def __init__(self) -> None:
        self.clock = Clock()
        self.reset()

    def reset(self) -> None:
        self.clock.reset()
        self.tables = Tables()
        self.frozen = Frozen()
        self.worker = MemoryWorker(self.tables, self.clock)
        self.runs = MemoryRuns(self.tables, self.clock)
        self.corrections = MemoryCorrections(self.tables, self.clock)

    def close(self) -> None:
        """Nothing is open."""

    def publish(self, document: BookDocument) -> int:
        books = self.tables.books
        if not books or books[-1].sha256 != document.sha256:
            books.append(document.as_book(len(books) + 1))
            self.tables.outbox.append(("ledger", "PriceBookPublished"))
        return len(books)

    def top_up(self, account: str, bucket: str, amount: str, payment_id: str) -> dict[str, Any]:
        asked = TopUp(account_id=account, bucket=bucket, amount=amount, provider="bank", payment_id=payment_id)
        return paying.top_up(self.tables, self.clock.now, asked)

    def limit(  # noqa: PLR0917 - the words of the admin call in its order
        self, account: str, kind: str, entity: str, window: str, limit: str | None, currency: str
    ) -> None:
        asked = {"account_id": account, "kind": kind, "id": entity, "currency": currency, "window": window, "limit": limit}
        paying.set_limit(self.tables, self.clock.now, LimitChange.model_validate(asked))

    def cost_centre(self, account: str, bucket: str, limit: str, window: str) -> None:
        paying.open_cost_centre(self.tables, account, bucket)
        currency = paying.own_bucket(self.tables, account, bucket).currency
        self.limit(account, "bucket", bucket, window, limit, currency)

    def freeze(self, kind: str, entity: str, *, frozen: bool) -> None:
        version = int(self.clock.now.timestamp())
        record = {"kind": kind, "entity_id": entity, "version": version, "frozen": frozen}
        self.frozen.apply(ControlRecord.model_validate(record))

    def open_run(self, account: str, key: KeyRef, budget: dict[str, str], **fields: Any) -> str:
        return self.runs.open(account, RunOpening(key=key, budget=budget, **fields))

    def extend_run(self, account: str, run_id: str, key: KeyRef, **fields: Any) -> None:
        self.runs.extend(account, run_id, RunExtension(key=key, **fields))

    def close_run(self, account: str, run_id: str, key: KeyRef) -> object:
        return self.runs.close(self.runs.owned(account, run_id, key))

    def close_due_runs(self) -> int:
        return self.runs.close_due()

    def refund(self, account: str, request_id: UUID, amount: str | None = None, **fields: Any) -> dict[str, Any]:
        body = {"account_id": account, "request_id": request_id, "amount": amount} | SAID | fields
        return self.corrections.refund(Refund.model_validate(body))

    def adjust(self, account: str, bucket: str, amount: str, *, key: str) -> dict[str, Any]:
        body = {"account_id": account, "bucket": bucket, "amount": amount, "key": key} | SAID
        return self.corrections.adjust(Adjustment.model_validate(body))

    def promote(self, account: str, bucket: str, amount: str, expires_at: datetime, *, key: str) -> dict[str, Any]:
        body = {"account_id": account, "bucket": bucket, "amount": amount, "expires_at": expires_at, "key": key} | SAID
        return self.corrections.promote(Promotion.model_validate(body))

    def expire_promotions(self, at: datetime) -> list[tuple[UUID, int]]:
        assert at == self.clock.now
        return self.corrections.expire_promotions()

    def charge_back(self, payment_id: str, amount: str | None = None, *, dispute_id: str) -> dict[str, Any]:
        body = {"provider": "bank", "payment_id": payment_id, "dispute_id": dispute_id, "amount": amount} | SAID
        return self.corrections.charge_back(Chargeback.model_validate(body))

    def reinstate(self, dispute_id: str) -> dict[str, Any]:
        return self.corrections.reinstate(Reinstatement.model_validate({"provider": "bank", "dispute_id": dispute_id} | SAID))

    def hold(self, *requests: HoldRequest) -> list[dict[str, Any]]:
        return [self._hold(request) for request in requests]

    def renew(self, sign: HoldProgress) -> list[UUID]:
        hold = self.tables.holds.get(sign.hold_id)
        if hold is None or hold.state != "HELD":
            return [sign.hold_id]
        hold.expires_at = max(hold.expires_at, sign.deadline_at)
        hold.progress_input = max(hold.progress_input, sign.input_tokens)
        hold.progress_output = max(hold.progress_output, sign.output_tokens)
        return []

    def settle(self, records: Sequence[Record]) -> None:
        self.worker.settle(records)

    def die_while_settling(self, records: Sequence[Record]) -> None:
        try:
            self.worker.settle(records, dies=True)
        finally:
            self.take_over()

    def take_over(self) -> Settle:
        zombie, self.worker = self.worker, MemoryWorker(self.tables, self.clock)
        return zombie.settle

    def rewind(self, offset: int) -> None:
        row = self.tables.offset
        row.next = row.consumed = row.settled = offset
        self.take_over()

    def expire(self, *ids: UUID, grace_s: float) -> int:
        return len(settling.expire_holds(self.tables, self.clock.now, ids, grace_s))

    def sweep(self, *, grace_s: float) -> int:
        return self.expire(*self.tables.holds, grace_s=grace_s)

    def publish_events(self, limit: int, *, acknowledged: int) -> list[str]:
        assert acknowledged > 0
        sent = [event_type for _, event_type in self.tables.outbox[:limit]]
        self.tables.published.update(sent)
        del self.tables.outbox[:limit]
        return sent

    def balances(self, account: str) -> list[dict[str, Any]]:
        return reading.balances(self.tables, self.clock.now, account)

    def moves(self, account: str, bucket: str, *, page: int) -> list[tuple[int, int]]:
        return reading.moves(self.tables, account, bucket, page)

    def limits(self, account: str) -> list[dict[str, Any]]:
        return reading.limits(self.tables, account)

    def receipt(self, account: str, request_id: UUID) -> dict[str, Any]:
        return reading.read_receipt(self.tables, account, request_id)

    def cases(self, *, open_only: bool) -> Counter[str]:
        assert open_only
        return reading.open_cases(self.tables)

    def close_a_case(self, kind: str) -> None:
        tables = self.tables
        tables.closed_cases.add(
            next(case.id for case in tables.cases.values() if case.kind == kind and case.id not in tables.closed_cases)
        )
        tables.outbox.append(("ledger", "CaseClosed"))

    def redrive(self, limit: int) -> dict[str, int]:
        return self.worker.redrive(limit)

    def seal(self, limit: int) -> None:
        assert limit > 0

    def state(self) -> State:
        return reading.state(self.tables, self.account)

    def assert_sound(self, patience_s: float = NEVER_S) -> None:
        assert check.violations(self.tables, self.clock.now, timedelta(seconds=patience_s)) == {}

    def _hold(self, request: HoldRequest) -> dict[str, Any]:
        decided = self.tables.holds.get(request.hold_id)
        if decided is not None:
            if decided.request_id != request.request_id:
                return conflict(request)
            book = self.tables.books[decided.price_version - 1]
            row = {
                "refusal": decided.refusal,
                "frozen_why": None,
                "bucket": decided.bucket,
                "currency": decided.currency,
                "amount_nano": decided.amount_nano,
                "price_version": decided.price_version,
                "output_cap": decided.output_cap,
            }
            return answer_again(request, row, book)
        key = request.key
        run = self.tables.runs.get(request.run_id) if request.run_id else None
        facts = RunFacts(run.id, run.holder, run.project_id, run.key_id, run.reserve) if run else None
        frozen = self.frozen.stop(request.account_id, key.project_id, key.key_id)
        order = HoldOrder(request, self.tables.books[-1], frozen, facts)
        return holding.place(self.tables, self.clock.now, [order])[0]
