"""Refunds, adjustments, promotions and chargebacks over tables in memory, by settlement's own decisions."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from schemas import topics
from schemas.envelope import new_id
from services.settlement import accounts
from services.settlement.adjustments import Adjustment, require_available
from services.settlement.balances import Buckets
from services.settlement.chargeback_store import CASE_KIND
from services.settlement.chargebacks import Chargeback, Dispute, Payment, Reinstatement, chargeable, reinstatable
from services.settlement.correction_store import Line
from services.settlement.entries import Outbox, Postings, Txns, Windows
from services.settlement.errors import ConflictError, NotFoundError
from services.settlement.lots import Credit, LotMove, fold, lapsing
from services.settlement.money_in import period_start
from services.settlement.promotions import Promotion
from services.settlement.refunds import Charge, Refund, beyond_hold, chosen, refundable
from services.settlement.settling import CaseDraft
from tests.property.settlement.clock import Clock
from tests.property.settlement.memory.paying import overrun_of, own_bucket, refunded_of
from tests.property.settlement.memory.rows import BucketRow, DisputeRow, StoredHold
from tests.property.settlement.memory.tables import Tables

SPENDS = frozenset({"capture", "expire"})


class MemoryCorrections:
    """Each is one transaction under a key that is unique for ever."""

    def __init__(self, tables: Tables, clock: Clock) -> None:
        self._tables, self._clock = tables, clock

    def refund(self, asked: Refund) -> dict[str, Any]:
        """Give a charge back. Raises ApiError."""
        tables = self._tables
        known = tables.known(asked.idem_key, asked.request_hash)
        if known is not None:
            return known
        found = [hold for hold in tables.holds.values() if hold.request_id == asked.request_id]
        if not found:
            raise NotFoundError("no such request", code="request_not_found")
        charge = chosen([self._charge(hold) for hold in found], asked)
        nano = refundable(charge, asked.amount_nano)
        run = tables.runs.get(charge.run)
        own = own_bucket(tables, asked.account_id, charge.bucket)
        assert charge.account is not None
        row = tables.buckets[charge.account] if run and run.state == "OPEN" else own
        detail = {"run_id": row.run or None, "beyond_hold_nano": beyond_hold(charge, nano)}
        windows = Windows()
        windows.add(self._still_open(charge.windows), released=0, spent=-nano, overrun=-beyond_hold(charge, nano))
        revenue = accounts.revenue(row.currency)
        change = _Change(self, row, "refund", asked.idem_key, asked.request_hash, hold_id=charge.hold_id)
        return change.come_in(nano, revenue, detail, windows=windows)

    def adjust(self, asked: Adjustment) -> dict[str, Any]:
        """Give or take by hand. Raises ApiError."""
        known = self._tables.known(asked.idem_key, asked.request_hash)
        if known is not None:
            return known
        row, nano = self._prepaid(asked.account_id, asked.bucket), asked.amount_nano
        other = accounts.adjustment(row.currency)
        change = _Change(self, row, "adjustment", asked.idem_key, asked.request_hash)
        if nano > 0:
            return change.come_in(nano, other, {})
        require_available(-nano, row.posted - row.held, row.bucket, row.currency)
        return change.take(-nano, other, {})

    def promote(self, asked: Promotion) -> dict[str, Any]:
        """Credit that expires. Raises ApiError."""
        known = self._tables.known(asked.idem_key, asked.request_hash)
        if known is not None:
            return known
        asked.require_future(self._clock.now)
        row = self._prepaid(asked.account_id, asked.bucket)
        change = _Change(self, row, "promotion", asked.idem_key, asked.request_hash)
        detail = {"promotion_id": str(change.txn_id), "expires_at": asked.expires_at.isoformat()}
        return change.come_in(asked.amount_nano, accounts.promotion(row.currency), detail)

    def expire_promotions(self) -> list[tuple[UUID, int]]:
        """What is over and neither spent nor held: (promotion, nano) of each part."""
        tables, now, parts = self._tables, self._clock.now, []
        for row in [each for each in tables.buckets.values() if not each.run and each.funding == "prepaid"]:
            credit = self.credit(row)
            open_holds = [hold for hold in tables.holds.values() if hold.state == "HELD" and hold.account == row.account]
            for lot, nano in lapsing(credit, [(hold.placed_at, hold.amount_nano) for hold in open_holds], now):
                key = f"credit_expiry:{lot.id}:{len(tables.txns)}"
                change = _Change(self, row, "credit_expiry", key, None)
                change.take(nano, accounts.breakage(row.currency), {"promotion_id": str(lot.id)})
                parts.append((lot.id, nano))
        return parts

    def credit(self, row: BucketRow) -> Credit:
        """What of a bucket is promotional: settlement's fold, over all of its moves."""
        return fold(Credit(seq=0, posted_nano=0), self._lot_moves(row))

    def charge_back(self, asked: Chargeback) -> dict[str, Any]:
        """Take a payment back. Raises ApiError."""
        tables = self._tables
        known = tables.known(asked.idem_key, asked.request_hash)
        if known is not None:
            return known
        payment = self._payment(asked.provider, asked.payment_id)
        nano = chargeable(payment, asked.amount_nano)
        row = self._prepaid(payment.account_id, payment.bucket)
        change = _Change(self, row, "chargeback", asked.idem_key, asked.request_hash)
        case = CaseDraft(kind=CASE_KIND, detail=asked.reason, holder=row.holder, currency=row.currency, exposure_nano=nano)
        clearing = accounts.top_up_clearing(asked.provider, row.currency)
        detail = change.take(nano, clearing, {}, owes=True, cases=[case])
        tables.disputes[asked.dispute_id] = DisputeRow(payment.txn_id, nano)
        return detail

    def reinstate(self, asked: Reinstatement) -> dict[str, Any]:
        """Give a payment again. Raises ApiError."""
        tables = self._tables
        known = tables.known(asked.idem_key, asked.request_hash)
        if known is not None:
            return known
        row = tables.disputes.get(asked.dispute_id)
        if row is None:
            raise NotFoundError("no such dispute", code="dispute_not_found")
        if row.reinstated_nano:
            raise ConflictError("the dispute was reinstated before", code="already_reinstated")
        dispute = Dispute(dispute_id=asked.dispute_id, amount_nano=row.amount_nano, reinstated_nano=0)
        nano = reinstatable(dispute, asked.amount_nano)
        paid = tables.txns[row.payment]
        bucket = self._prepaid(paid.holder, paid.detail["bucket"])
        change = _Change(self, bucket, "reinstatement", asked.idem_key, asked.request_hash)
        detail = change.come_in(nano, accounts.top_up_clearing(asked.provider, bucket.currency), {})
        row.reinstated_nano = nano
        return detail

    def _prepaid(self, holder: str, bucket: str) -> BucketRow:
        row = own_bucket(self._tables, holder, bucket)
        if row.funding == "limit":
            raise ConflictError("the bucket is funded by a limit", code="bucket_funded_by_limit")
        return row

    def _payment(self, provider: str, payment_id: str) -> Payment:
        tables = self._tables
        txn_id = tables.idem_keys.get(f"topup:{provider}:{payment_id}")
        if txn_id is None:
            raise NotFoundError("no such payment", code="payment_not_found")
        txn = tables.txns[txn_id]
        disputes = [
            Dispute(dispute_id=name, amount_nano=row.amount_nano, reinstated_nano=row.reinstated_nano)
            for name, row in tables.disputes.items()
            if row.payment == txn_id
        ]
        return Payment(
            txn_id=txn_id,
            account_id=txn.holder,
            bucket=txn.detail["bucket"],
            currency="",
            provider=provider,
            payment_id=payment_id,
            amount_nano=txn.detail["amount_nano"],
            disputes=disputes,
        )

    def _charge(self, hold: StoredHold) -> Charge:
        beyond = overrun_of(self._tables, hold)
        return Charge(
            hold_id=hold.id,
            request_id=hold.request_id,
            project_id=hold.project_id,
            key_id=hold.key_id,
            key_name="",
            bucket=hold.bucket,
            currency=hold.currency,
            account=hold.account,
            run=hold.run if hold.reserved else "",
            state=hold.state,
            charged_nano=hold.captured_nano + beyond,
            beyond_hold_nano=beyond,
            refunded_nano=refunded_of(self._tables, hold)[0],
            windows=tuple(hold.windows),
            ended_at=hold.ended_at,
        )

    def _still_open(self, windows: Sequence[int]) -> list[int]:
        """A day, a month or a run that is over stays as it was."""
        keys = {envelope.id: key for key, envelope in self._tables.envelopes.items()}
        found = []
        for window_id in windows:
            window = self._tables.windows[window_id]
            _, kind, entity, _, period = keys[window.envelope]
            run = self._tables.runs.get(entity.partition("/")[0]) if kind == "run" else None
            if run.state == "OPEN" if run else window.start == period_start(period, self._clock.now):
                found.append(window_id)
        return found

    def _lot_moves(self, row: BucketRow) -> list[LotMove]:
        tables, found = self._tables, []
        for seq, move in enumerate(tables.moves, 1):
            if move.account != row.account:
                continue
            txn = tables.txns[move.txn]
            spent_for = tables.holds[txn.hold_id] if txn.kind in SPENDS and txn.hold_id else None
            promotion, expires_at = txn.detail.get("promotion_id"), txn.detail.get("expires_at")
            found.append(
                LotMove(
                    seq=seq,
                    txn=txn.id,
                    kind=txn.kind,
                    before_nano=move.before,
                    after_nano=move.after,
                    credit_at=spent_for.placed_at if spent_for else txn.committed_at,
                    run=txn.detail.get("run_id") or "",
                    promotion=UUID(promotion) if promotion else None,
                    expires_at=type(txn.committed_at).fromisoformat(expires_at) if expires_at else None,
                )
            )
        return found


class _Change:
    """One transaction on one bucket."""

    def __init__(  # noqa: PLR0917 - what every correction has
        self,
        corrections: MemoryCorrections,
        row: BucketRow,
        kind: str,
        idem_key: str,
        request_hash: bytes | None,
        hold_id: UUID | None = None,
    ) -> None:
        self._tables, self._now = corrections._tables, corrections._clock.now
        self._row, self._kind, self._idem_key = row, kind, idem_key
        self._request_hash, self._hold_id = request_hash, hold_id
        self._buckets: Buckets = self._tables.lock([row.account])
        self.txn_id = new_id()

    def come_in(
        self, nano: int, other: accounts.LedgerAccount, detail: dict[str, Any], windows: Windows | None = None
    ) -> dict[str, Any]:
        """Money for the bucket; what is owed is repaid first."""
        before, repaid = self._buckets.top_up(self._row.account, nano)
        account, receivable = self._row.account, accounts.overrun_receivable(self._row.currency)
        lines: list[Line] = [(other, account, nano), (account, receivable, repaid)]
        return self._write(before, lines, {**detail, "amount_nano": nano}, windows, ())

    def take(
        self,
        nano: int,
        other: accounts.LedgerAccount,
        detail: dict[str, Any],
        *,
        owes: bool = False,
        cases: Sequence[CaseDraft] = (),
    ) -> dict[str, Any]:
        """Money of the bucket, as far as it is available; the rest is owed where `owes` says so."""
        account = self._row.account
        before, taken = self._buckets.take(account, nano)
        lines: list[Line] = [(account, other, taken)]
        if owes:
            self._buckets.owe(account, nano - taken)
            lines.append((accounts.overrun_receivable(self._row.currency), other, nano - taken))
        else:
            assert taken == nano
        return self._write(before, lines, {**detail, "amount_nano": nano}, None, cases)

    def _write(
        self,
        before: int,
        lines: Sequence[Line],
        detail: dict[str, Any],
        windows: Windows | None,
        cases: Sequence[CaseDraft],
    ) -> dict[str, Any]:
        txns, postings, outbox = Txns(), Postings(), Outbox()
        digest = self._request_hash.hex() if self._request_hash else None
        holder, txn_id = self._row.holder, self.txn_id
        txns.add(txn_id, self._kind, self._idem_key, holder=holder, detail=detail, request_hash=digest, hold_id=self._hold_id)
        for debit, credit, nano in lines:
            postings.move(txn_id, debit, credit, self._row.currency, nano)
        outbox.add(topics.LEDGER, holder, EVENTS[self._kind], txn_id, "{}")
        for case in cases:
            outbox.add(topics.LEDGER, holder, "CaseOpened", case.id, "{}")
        state = self._buckets.state(self._row.account)
        self._tables.write(
            self._now,
            txns=txns,
            postings=postings,
            outbox=outbox,
            moves=[(txn_id, self._row.account, before, state.posted, state.held)],
            buckets=self._buckets,
            windows=windows,
            cases=cases,
        )
        return detail


EVENTS = {
    "refund": "Refunded",
    "adjustment": "Adjusted",
    "promotion": "PromotionGranted",
    "credit_expiry": "CreditExpired",
    "chargeback": "ChargedBack",
    "reinstatement": "ChargebackReinstated",
}
