"""The settlement transaction over tables in memory: what is read, decided and written is settlement's own."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime
from uuid import UUID, uuid4

from schemas import topics
from services.settlement import accounts, outgoing
from services.settlement.batch import Batch, Decided
from services.settlement.batch_decisions import BatchDecisions
from services.settlement.batch_rows import add_txn, captured_heads, end_settlement, ended_holds, outcome_of
from services.settlement.entries import Outbox, Postings, Txns, Windows, post_fixed, post_overrun
from services.settlement.errors import LostLeaseError, PoisonError
from services.settlement.expiry import Expiry, expire
from services.settlement.positions import Positions
from services.settlement.pricebook import PriceBook
from services.settlement.records import Incoming, Record, read
from services.settlement.redriving import STILL_POISON
from services.settlement.settle_store import CONSUMER
from services.settlement.settling import HoldRow, Settlement
from tests.property.settlement.backend import Died
from tests.property.settlement.clock import Clock
from tests.property.settlement.memory.rows import DeadLetterRow, StoredHold
from tests.property.settlement.memory.tables import Move, Tables

BATCH = 200
COLUMNS = [field.name for field in fields(HoldRow)]


class MemoryDecisions(BatchDecisions):
    """Settlement's decisions about a batch; what they read is in the tables."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._book_of = lambda version: book_of(tables, version)

    def _read(self, incoming: Sequence[Incoming]) -> tuple[dict[UUID, str], set[UUID], dict[UUID, HoldRow]]:
        tables = self._tables
        ids = {hold_id for each in incoming for hold_id in each.event.data.hold_ids}
        ids.update(attempt.hold_id for each in incoming for attempt in each.event.data.attempts)
        known = {event_id: digest for event_id, (digest, _) in tables.inbox.items()}
        return known, set(tables.receipts), {each: hold_row(tables.holds[each]) for each in ids if each in tables.holds}

    def _dead_letters(self, records: Sequence[Record]) -> set[tuple[int, int]]:
        return {(each.partition, each.offset) for each in records} & self._tables.dead_letters.keys()

    def _known_cases(self, ids: Sequence[UUID]) -> set[UUID]:
        return set(ids) & self._tables.cases.keys()


class MemoryWorker:
    """A worker with the lease of its time."""

    def __init__(self, tables: Tables, clock: Clock) -> None:
        self._tables, self._clock = tables, clock
        self._decisions = MemoryDecisions(tables)
        self._token = tables.offset.lease = uuid4().hex
        self._positions = Positions({0: (tables.offset.next, tables.offset.settled)})

    def settle(self, records: Sequence[Record], *, dies: bool = False) -> None:
        """Post the records, batch by batch; with `dies` everything but the commit."""
        for batch in self._positions.batches(records, BATCH):
            if batch.advances:
                self._transaction(batch, dies=dies)
                self._positions.posted(batch)

    def redrive(self, limit: int) -> dict[str, int]:
        """Read dead letters again, each in a transaction of its own that moves no offset."""
        outcomes: Counter[str] = Counter()
        waiting = [row for _, row in sorted(self._tables.dead_letters.items()) if row.waits]
        for row in waiting[:limit]:
            outcomes[self._redrive(row)] += 1
        return dict(outcomes)

    def _redrive(self, row: DeadLetterRow) -> str:
        try:
            batch = Batch(incoming=[read(row.record)])
        except PoisonError:
            return STILL_POISON
        decided = self._decisions.decide(batch, again=True)
        if decided.poison:
            return STILL_POISON
        self._post(decided, dies=False)
        row.waits = False
        return outcome_of(decided)

    def _transaction(self, batch: Batch, *, dies: bool) -> None:
        offset = self._tables.offset
        decided = self._decisions.decide(batch)
        ((_, first, following, settled),) = batch.advances
        if offset.lease != self._token or offset.next != first:
            raise LostLeaseError("offsets moved or the lease is lost")
        self._post(decided, dies=dies)
        offset.consumed += following - first
        offset.next, offset.settled = following, max(offset.settled, settled)

    def _post(self, decided: Decided, *, dies: bool) -> None:
        tables, now = self._tables, self._clock.now
        txns, postings, outbox, windows = Txns(), Postings(), Outbox(), Windows()
        settlements = [settlement for _, settlement in decided.settlements]
        for incoming, settlement in decided.settlements:
            add_txn(txns, incoming, settlement)
            post_fixed(postings, settlement)
        buckets = tables.lock(hold.account for hold in ended_holds(settlements))
        moves: list[Move] = []
        for settlement, head in zip(settlements, captured_heads(settlements), strict=True):
            paid = end_settlement(settlement, head, buckets, windows, outbox)
            if paid is not None and settlement.capture is not None:
                post_overrun(postings, settlement, paid)
                if settlement.capture.hold.account is not None:
                    moves.append((settlement.txn_id, settlement.capture.hold.account, *paid.move))
        for case in decided.cases:
            outbox.add(topics.LEDGER, case.holder, "CaseOpened", case.id, outgoing.case_opened(case))
        for record, error in decided.poison:
            event_id, payload = outgoing.dead_letter(record, topics.ATTEMPTS, CONSUMER, error.reason, error.detail)
            outbox.add(topics.DEAD, "unknown", "DeadLetter", event_id, payload)
        if dies:
            raise Died
        tables.write(
            now,
            txns=txns,
            postings=postings,
            outbox=outbox,
            moves=moves,
            buckets=buckets,
            windows=windows,
            cases=decided.cases,
        )
        self._remember(decided, settlements, now)

    def _remember(self, decided: Decided, settlements: Sequence[Settlement], now: datetime) -> None:
        tables = self._tables
        for incoming in decided.fresh:
            tables.inbox[incoming.event_id] = (incoming.hash, incoming.record.offset)
        for record, _ in decided.poison:
            tables.dead_letters[record.partition, record.offset] = DeadLetterRow(record)
        for settlement in settlements:
            if settlement.capture:
                hold = settlement.capture.hold
                tables.end_hold(hold.id, "CAPTURED", min(settlement.capture.nano, hold.amount_nano), now)
            for hold in settlement.releases:
                tables.end_hold(hold.id, "RELEASED", 0, now)
        for incoming, settlement in decided.settlements:
            charge, capture = settlement.capture or settlement.late, settlement.capture
            assert incoming.event.request_id is not None
            tables.receipts[incoming.event.request_id] = {
                "status": settlement.status,
                "txn": settlement.txn_id,
                "charged_hold": charge.hold.id if charge else None,
                "charge_nano": capture.nano if capture else 0,
                "overrun_nano": max(capture.nano - capture.hold.amount_nano, 0) if capture else 0,
                "written_off_nano": settlement.late_nano,
                "completed": incoming.payload,
                "settled_at": now,
                "holder": incoming.event.account_id,
            }


def expire_holds(tables: Tables, now: datetime, ids: Sequence[UUID], grace_s: float) -> list[Expiry]:
    """Expire those of the holds that are open and overdue, in one transaction."""
    overdue = [
        tables.holds[each]
        for each in sorted(ids)
        if tables.holds[each].state == "HELD" and (now - tables.holds[each].expires_at).total_seconds() > grace_s
    ]
    expiries = [_expiry(tables, hold) for hold in overdue]
    buckets = tables.lock(hold.account for hold in overdue)
    txns, postings, outbox, windows = Txns(), Postings(), Outbox(), Windows()
    moves: list[Move] = []
    for expiry, stored in zip(expiries, overdue, strict=True):
        add_expiry(txns, postings, outbox, expiry, stored)
        paid = buckets.capture(stored.account, stored.amount_nano, expiry.charge_nano)
        windows.add(stored.windows, released=stored.amount_nano, spent=expiry.charge_nano)
        if stored.account is not None:
            moves.append((expiry.txn_id, stored.account, *paid.move))
    cases = [expiry.case for expiry in expiries]
    tables.write(now, txns=txns, postings=postings, outbox=outbox, moves=moves, buckets=buckets, windows=windows, cases=cases)
    for expiry in expiries:
        tables.end_hold(expiry.hold.id, "EXPIRED", expiry.charge_nano, now)
    return expiries


def add_expiry(txns: Txns, postings: Postings, outbox: Outbox, expiry: Expiry, hold: StoredHold) -> None:
    """What an expiry writes beside the balances."""
    txns.add(
        expiry.txn_id,
        "expire",
        f"expire:{hold.id}",
        holder=hold.holder,
        detail={"charge_nano": expiry.charge_nano},
        price_version=hold.price_version,
        request_id=hold.request_id,
        hold_id=hold.id,
    )
    if hold.account is not None:
        postings.move(expiry.txn_id, hold.account, accounts.revenue(hold.currency), hold.currency, expiry.charge_nano)
    outbox.add(topics.LEDGER, hold.holder, "Expired", expiry.txn_id, outgoing.expired(expiry, hold.detail["key_name"]))
    outbox.add(topics.LEDGER, hold.holder, "CaseOpened", expiry.case.id, outgoing.case_opened(expiry.case))


def hold_row(stored: StoredHold) -> HoldRow:
    """The hold as a decision may change it, with its row left alone."""
    return HoldRow(**{name: getattr(stored, name) for name in COLUMNS})


def book_of(tables: Tables, version: int) -> PriceBook | None:
    """A price book by its version."""
    return tables.books[version - 1] if 0 < version <= len(tables.books) else None


def _expiry(tables: Tables, hold: StoredHold) -> Expiry:
    book = book_of(tables, hold.price_version)
    assert book is not None
    return expire(
        hold_row(hold),
        progress_input=hold.progress_input,
        progress_output=hold.progress_output,
        candidates=hold.detail["candidates"],
        book=book,
    )
