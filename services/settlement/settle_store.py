"""The settlement transaction: offset, inbox, holds, postings, balances and outbox, committed together or not at all."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, LiteralString
from uuid import UUID

import psycopg
from psycopg.rows import TupleRow

from schemas import topics
from services.settlement import outgoing
from services.settlement.accounts import LedgerAccount
from services.settlement.arrays import plain, texts, uuids
from services.settlement.balance_writes import Move, write_balances
from services.settlement.balances import Buckets, Capture
from services.settlement.entries import (
    Outbox,
    Postings,
    Txns,
    Windows,
    case_parameters,
    columns,
    post_fixed,
    post_overrun,
)
from services.settlement.errors import LostLeaseError, PoisonError, RacedError
from services.settlement.ledger_accounts import AccountIds
from services.settlement.pricebook import PriceBook
from services.settlement.records import Incoming, Record
from services.settlement.settling import CaseDraft, HoldRow, Settlement, decide, forged, repeated
from services.settlement.statements import statements

CONSUMER = "settlement"


@dataclass(slots=True)
class Batch:
    """Records of one or more partitions: what must be settled or set aside, and how far each partition moves.

    An advance is (partition, first offset, next offset, offset after the last settling record).
    """

    advances: list[tuple[int, int, int, int]] = field(default_factory=list)
    incoming: list[Incoming] = field(default_factory=list)
    poison: list[tuple[Record, PoisonError]] = field(default_factory=list)


@dataclass(slots=True)
class Decided:
    """What the batch comes to. `fresh` are the events that the inbox must take."""

    fresh: list[Incoming] = field(default_factory=list)
    settlements: list[tuple[Incoming, Settlement]] = field(default_factory=list)
    cases: list[CaseDraft] = field(default_factory=list)
    poison: list[tuple[Record, PoisonError]] = field(default_factory=list)
    repeats: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Posting:
    """Who posts: the lease that the offsets are compared with, and what a case gets."""

    lease: str
    lease_s: float
    case_owner: str
    case_max_age_days: int


class SettleStore:
    """Posts batches over one connection. Not thread-safe: one batch at a time."""

    def __init__(
        self, connection: psycopg.Connection[TupleRow], *, posting: Posting, book_of: Callable[[int], PriceBook | None]
    ) -> None:
        self._connection = connection
        self._posting = posting
        self._book_of = book_of
        self._sql = statements("settle.sql")
        self._accounts = AccountIds(connection)

    def settle(self, batch: Batch) -> Decided:
        """Post the batch and move the offsets. Raises LostLeaseError, RacedError or psycopg's: then nothing has changed."""
        decided = self._decide(batch)
        settlements = [settlement for _, settlement in decided.settlements]
        postings = Postings()
        for settlement in settlements:
            post_fixed(postings, settlement)
        self._accounts.open(postings.accounts | _possible_overruns(settlements))
        with self._connection.pipeline() as pipeline, self._connection.transaction():
            self._write(batch, decided, settlements, postings, pipeline)
        return decided

    def _decide(self, batch: Batch) -> Decided:
        decided = Decided(poison=list(batch.poison))
        if not batch.incoming:
            return self._leave_out_what_is_known(decided)
        known, settled, holds = self._read(batch.incoming)
        for incoming in batch.incoming:
            seen = known.get(incoming.event_id)
            if seen is not None:
                decided.repeats += 1
                if seen != incoming.hash:
                    decided.cases.append(forged(incoming.event, place_of(incoming.record)))
                continue
            self._decide_one(incoming, settled, holds, decided)
            known[incoming.event_id] = incoming.hash
        return self._leave_out_what_is_known(decided)

    def _leave_out_what_is_known(self, decided: Decided) -> Decided:
        """Poison that is set aside already, and cases that are open already: rare, so that nothing is asked otherwise."""
        if decided.poison:
            places = {"topic": topics.ATTEMPTS, "places": plain([record.offset for record, _ in decided.poison])}
            known = set(self._run("known_dead_letters", places).fetchall())
            decided.poison = [each for each in decided.poison if (each[0].partition, each[0].offset) not in known]
        if decided.cases:
            rows = self._run("known_cases", {"ids": uuids([case.id for case in decided.cases])}).fetchall()
            decided.cases = [case for case in decided.cases if (case.id,) not in rows]
        return decided

    def _decide_one(self, incoming: Incoming, settled: set[UUID], holds: dict[UUID, HoldRow], decided: Decided) -> None:
        event = incoming.event
        assert event.request_id is not None
        if event.request_id in settled:
            decided.fresh.append(incoming)
            decided.cases.append(repeated(event))
            return
        try:
            settlement = decide(event, holds, self._book_of)
        except PoisonError as error:
            decided.poison.append((incoming.record, error))
            return
        settled.add(event.request_id)
        decided.fresh.append(incoming)
        decided.settlements.append((incoming, settlement))
        decided.cases.extend(settlement.cases)

    def _read(self, incoming: Sequence[Incoming]) -> tuple[dict[UUID, str], set[UUID], dict[UUID, HoldRow]]:
        """What the ledger knows about the batch: inbox digests, settled requests, holds."""
        hold_ids = {hold_id for each in incoming for hold_id in each.event.data.hold_ids}
        hold_ids.update(attempt.hold_id for each in incoming for attempt in each.event.data.attempts)
        with self._connection.pipeline():
            known = self._run("known_events", {"ids": uuids([each.event_id for each in incoming])})
            settled = self._run("settled_requests", {"ids": uuids([each.event.request_id for each in incoming])})
            holds = self._run("holds", {"ids": uuids(hold_ids)})
            return (
                {event_id: bytes(digest).hex() for event_id, digest in known.fetchall()},
                {row[0] for row in settled.fetchall()},
                {row[0]: HoldRow(**dict(zip(HOLD_COLUMNS, row, strict=True))) for row in holds.fetchall()},
            )

    def _write(
        self,
        batch: Batch,
        decided: Decided,
        settlements: Sequence[Settlement],
        postings: Postings,
        pipeline: psycopg.Pipeline,
    ) -> None:
        advances = self._advance(batch)
        ends = _ends(settlements)
        ended = self._run("end_holds", ends) if ends["ids"] != "{}" else None
        self._remember(decided)
        self._write_facts(decided, postings)
        accounts = {hold.account for hold in _ended_holds(settlements) if hold.account is not None}
        locked = self._run("lock_buckets", {"accounts": plain(sorted(accounts))}) if accounts else None
        pipeline.sync()
        if advances.rowcount != len(batch.advances):
            raise LostLeaseError(f"offsets moved or the lease is lost: {advances.rowcount} of {len(batch.advances)} advanced")
        if ended is not None and ended.rowcount != ends["ids"].count(",") + 1:
            raise RacedError("a hold ended meanwhile")
        self._write_balances(decided, postings, Buckets(locked.fetchall() if locked else ()))

    def _advance(self, batch: Batch) -> psycopg.Cursor[TupleRow]:
        partitions, firsts, nexts, settled = columns(batch.advances, 4)
        return self._run(
            "advance_offsets",
            {
                "topic": topics.ATTEMPTS,
                "lease": self._posting.lease,
                "lease_s": self._posting.lease_s,
                "partitions": plain(partitions),
                "firsts": plain(firsts),
                "nexts": plain(nexts),
                "settled": plain(settled),
            },
        )

    def _remember(self, decided: Decided) -> None:
        if not decided.fresh:
            return
        self._run(
            "remember_events",
            {
                "topic": topics.ATTEMPTS,
                "ids": uuids([each.event_id for each in decided.fresh]),
                "hashes": plain([each.hash for each in decided.fresh]),
                "partitions": plain([each.record.partition for each in decided.fresh]),
                "offsets": plain([each.record.offset for each in decided.fresh]),
            },
        )

    def _write_facts(self, decided: Decided, postings: Postings) -> None:
        """Everything that is known before the balances are locked: most of the work, so that the lock is short."""
        if decided.settlements:
            txns = Txns()
            for incoming, settlement in decided.settlements:
                _add_txn(txns, incoming, settlement)
            self._run("write_txns", txns.parameters())
            if postings.rows:
                self._run("write_postings", postings.drain(self._accounts.id_of))
            self._run("write_receipts", _receipts(decided.settlements))
        if decided.cases:
            self._run(
                "open_cases",
                {
                    "owner": self._posting.case_owner,
                    "max_age_days": self._posting.case_max_age_days,
                    **case_parameters(decided.cases),
                },
            )
        for record, error in decided.poison:
            self._run("write_dead_letter", _dead_letter(record, error))

    def _write_balances(self, decided: Decided, postings: Postings, buckets: Buckets) -> None:
        outbox, windows = Outbox(), Windows()
        moves: list[Move] = []
        for _, settlement in decided.settlements:
            paid = _end(settlement, buckets, windows, outbox)
            if paid is not None and settlement.capture is not None:
                post_overrun(postings, settlement, paid)
                if settlement.capture.hold.account is not None:
                    moves.append((settlement.txn_id, settlement.capture.hold.account, *paid.move))
        for case in decided.cases:
            outbox.add(topics.LEDGER, case.holder, "CaseOpened", case.id, outgoing.case_opened(case))
        for record, error in decided.poison:
            event_id, payload = outgoing.dead_letter(record, topics.ATTEMPTS, CONSUMER, error.reason, error.detail)
            outbox.add(topics.DEAD, "unknown", "DeadLetter", event_id, payload)
        if postings.rows:
            self._run("write_postings", postings.drain(self._accounts.id_of))
        write_balances(self._connection, moves, buckets, windows)
        if outbox.rows:
            self._run("write_outbox", outbox.parameters())

    def _run(self, name: str, parameters: dict[str, Any]) -> psycopg.Cursor[TupleRow]:
        sql: LiteralString = self._sql[name]
        return self._connection.execute(sql, parameters, binary=True)


HOLD_COLUMNS = (
    "id",
    "request_id",
    "holder",
    "project_id",
    "key_id",
    "bucket",
    "currency",
    "account",
    "state",
    "amount_nano",
    "captured_nano",
    "price_version",
    "windows",
)


def _ended_holds(settlements: Iterable[Settlement]) -> Iterable[HoldRow]:
    for settlement in settlements:
        if settlement.capture:
            yield settlement.capture.hold
        yield from settlement.releases


def place_of(record: Record) -> str:
    """Where a record lies, as one text."""
    return f"{topics.ATTEMPTS}/{record.partition}/{record.offset}"


def _possible_overruns(settlements: Iterable[Settlement]) -> dict[str, LedgerAccount]:
    """The accounts that a capture above its hold needs, whatever its bucket turns out to be able to pay."""
    found = Postings()
    for settlement in settlements:
        post_overrun(found, settlement, Capture(1, 0, 1, 0, 0, 0))
    return found.accounts


def _ends(settlements: Sequence[Settlement]) -> dict[str, str]:
    ids, states, captured, windows = [], [], [], []
    for settlement in settlements:
        if settlement.capture:
            hold = settlement.capture.hold
            ids.append(hold.id)
            states.append("CAPTURED")
            captured.append(min(settlement.capture.nano, hold.amount_nano))
            windows.append(len(hold.windows))
        for hold in settlement.releases:
            ids.append(hold.id)
            states.append("RELEASED")
            captured.append(0)
            windows.append(len(hold.windows))
    return {"ids": uuids(ids), "states": plain(states), "captured": plain(captured), "windows": plain(windows)}


def _add_txn(txns: Txns, incoming: Incoming, settlement: Settlement) -> None:
    event = incoming.event
    charge = settlement.capture or settlement.late
    detail: dict[str, Any] = {"event_id": str(event.event_id), "key_id": event.data.key.key_id}
    if charge:
        detail |= {
            "project_id": charge.hold.project_id,
            "attempt": charge.attempt.attempt,
            "route_type": charge.attempt.route_type,
            "model": charge.attempt.upstream_model,
            "charge_nano": charge.nano,
        }
    txns.add(
        settlement.txn_id,
        settlement.kind,
        f"settle:{event.request_id}",
        holder=event.account_id,
        detail=detail,
        request_hash=incoming.hash,
        price_version=charge.hold.price_version if charge else None,
        request_id=event.request_id,
        hold_id=charge.hold.id if charge else None,
    )


def _receipts(settlements: Sequence[tuple[Incoming, Settlement]]) -> dict[str, str]:
    charges = [settlement.capture or settlement.late for _, settlement in settlements]
    captures = [settlement.capture for _, settlement in settlements]
    return {
        "request_ids": uuids([incoming.event.request_id for incoming, _ in settlements]),
        "holders": texts([incoming.event.account_id for incoming, _ in settlements]),
        "statuses": plain([settlement.status for _, settlement in settlements]),
        "txns": uuids([settlement.txn_id for _, settlement in settlements]),
        "holds": uuids([charge.hold.id if charge else None for charge in charges]),
        "charges": plain([capture.nano if capture else 0 for capture in captures]),
        "overruns": plain([max(capture.nano - capture.hold.amount_nano, 0) if capture else 0 for capture in captures]),
        "written_off": plain([settlement.late_nano for _, settlement in settlements]),
        "completed": texts([incoming.payload for incoming, _ in settlements]),
    }


def _dead_letter(record: Record, error: PoisonError) -> dict[str, Any]:
    return {
        "topic": topics.ATTEMPTS,
        "partition": record.partition,
        "offset": record.offset,
        "reason": error.reason,
        "detail": error.detail,
        "key": record.key,
        "type": record.type.replace("\x00", ""),
        "payload": record.value,
    }


def _end(settlement: Settlement, buckets: Buckets, windows: Windows, outbox: Outbox) -> Capture | None:
    """Move the balances of one settlement and write its events. Returns how its capture was paid."""
    event, key = settlement.event, settlement.event.account_id
    paid = None
    if settlement.capture:
        hold, nano = settlement.capture.hold, settlement.capture.nano
        paid = buckets.capture(hold.account, hold.amount_nano, nano)
        windows.add(hold.windows, released=hold.amount_nano, spent=nano, overrun=max(nano - hold.amount_nano, 0))
        payload = outgoing.captured(
            event, settlement.capture.attempt, hold, txn_id=settlement.txn_id, charge_nano=nano, move=paid.move
        )
        outbox.add(topics.LEDGER, key, "Captured", settlement.txn_id, payload)
    for hold in settlement.releases:
        buckets.release(hold.account, hold.amount_nano)
        windows.add(hold.windows, released=hold.amount_nano)
        outbox.add(topics.LEDGER, key, "Released", hold.id, outgoing.released(event, hold))
    if settlement.late:
        payload = outgoing.late_usage(
            event, settlement.late.attempt, settlement.late.hold, txn_id=settlement.txn_id, amount_nano=settlement.late_nano
        )
        outbox.add(topics.LEDGER, key, "LateUsage", settlement.txn_id, payload)
    return paid
