"""The settlement transaction: offset, inbox, holds, postings, balances and outbox, committed together or not at all."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, LiteralString

import psycopg
from psycopg.rows import TupleRow

from schemas import topics
from services.settlement import outgoing
from services.settlement.arrays import bigints, integers, uuids, words
from services.settlement.balance_writes import Move, write_balances
from services.settlement.balances import Buckets
from services.settlement.batch import Batch, Decided, Posting, Redriven
from services.settlement.batch_decisions import BatchDecisions
from services.settlement.batch_rows import (
    add_txn,
    captured_heads,
    dead_letter_row,
    end_settlement,
    ended_holds,
    hold_ends,
    outcome_of,
    possible_overruns,
    receipt_rows,
)
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
from services.settlement.errors import LostLeaseError, RacedError
from services.settlement.ledger_accounts import AccountIds
from services.settlement.pricebook import PriceBook
from services.settlement.records import Incoming, Record
from services.settlement.statements import statements

CONSUMER = "settlement"
Fact = tuple[str, dict[str, Any]]
"""A statement's name and its parameters."""


@dataclass(slots=True)
class Prepared:
    """A batch that is decided and written out, all but what only the locked buckets can tell. It is posted once.

    `facts` are statements by name with their parameters, in order; `accounts` the buckets to lock; `heads` what each capture's
    event says without its balance; `ids` the accounts, by name, of what may turn out to be owed.
    """

    batch: Batch
    decided: Decided
    postings: Postings = field(default_factory=Postings)
    ids: dict[str, int] = field(default_factory=dict)
    facts: list[Fact] = field(default_factory=list)
    accounts: list[int] = field(default_factory=list)
    ends: dict[str, Any] = field(default_factory=dict)
    ending: int = 0
    heads: list[str] = field(default_factory=list)


class SettleStore:
    """Posts batches over one connection. Not thread-safe: one call at a time."""

    def __init__(
        self, connection: psycopg.Connection[TupleRow], *, posting: Posting, book_of: Callable[[int], PriceBook | None]
    ) -> None:
        self._connection = connection
        self._posting = posting
        self._decisions = BatchDecisions(connection, book_of)
        self._sql = statements("settle.sql")
        self._accounts = AccountIds(connection)

    def settle(self, batch: Batch) -> Decided:
        """Post the batch and move the offsets. Raises LostLeaseError, RacedError or psycopg's: then nothing has changed."""
        prepared = self.prepare(batch)
        self.post(prepared)
        return prepared.decided

    def redrive(
        self, incoming: Incoming, *, author: str, noted: Callable[[Record, str], Mapping[str, Any]] | None = None
    ) -> str:
        """Post a dead letter that can be read by now, and mark it in the same transaction. Returns what it came to.

        `noted` is what the audit log says of it.

        Raises PoisonError where it cannot be posted still, RacedError where somebody else has redriven it, or psycopg's.
        """
        batch = Batch(incoming=[incoming])
        prepared = self.prepare(batch, again=True)
        if prepared.decided.poison:
            raise prepared.decided.poison[0][1]
        outcome = outcome_of(prepared.decided)
        entry = noted(incoming.record, outcome) if noted else None
        batch.redriven = Redriven(incoming.record, author, outcome, entry)
        self.post(prepared)
        return outcome

    def prepare(self, batch: Batch, *, again: bool = False) -> Prepared:
        """Decide the batch and write out its rows; nothing is posted. `again`: its records are dead letters.

        Another store of the same lease may post it, at once or later: what was read for it is checked by the transaction
        (keys that are there already, holds that ended, offsets that moved), which then changes nothing.
        """
        decided = self._decisions.decide(batch, again=again)
        settlements = [settlement for _, settlement in decided.settlements]
        prepared = Prepared(batch, decided)
        for settlement in settlements:
            post_fixed(prepared.postings, settlement)
        overruns = possible_overruns(settlements)
        self._accounts.open(prepared.postings.accounts | overruns)
        prepared.ids = {name: self._accounts.id_of(account) for name, account in overruns.items()}
        prepared.facts = [*self._remembered(decided), *self._facts(decided, prepared.postings)]
        prepared.heads = captured_heads(settlements)
        prepared.ends = hold_ends(settlements)
        ended = list(ended_holds(settlements))
        prepared.ending = len(ended)
        prepared.accounts = sorted({hold.account for hold in ended if hold.account is not None})
        return prepared

    def post(self, prepared: Prepared) -> None:
        """Post it and move the offsets. Raises LostLeaseError, RacedError or psycopg's: then nothing has changed."""
        with self._connection.pipeline() as pipeline, self._connection.transaction():
            self._write(prepared, pipeline)

    def _write(self, prepared: Prepared, pipeline: psycopg.Pipeline) -> None:
        batch = prepared.batch
        advances = self._advance(batch)
        marked = self._mark(batch.redriven) if batch.redriven else None
        for name, parameters in prepared.facts:
            self._run(name, parameters)
        # From here on others wait. Buckets, then holds, then windows: the order of everybody who takes more than one of them.
        locked = self._run("lock_buckets", {"accounts": bigints(prepared.accounts)}) if prepared.accounts else None
        ended = self._run("end_holds", prepared.ends) if prepared.ending else None
        pipeline.sync()
        if advances.rowcount != len(batch.advances):
            raise LostLeaseError(f"offsets moved or the lease is lost: {advances.rowcount} of {len(batch.advances)} advanced")
        if marked is not None and marked.rowcount != 1:
            raise RacedError("the dead letter was redriven meanwhile")
        if ended is not None and ended.rowcount != prepared.ending:
            raise RacedError("a hold ended meanwhile")
        self._write_balances(prepared, Buckets(locked.fetchall() if locked else ()))

    def _mark(self, redriven: Redriven) -> psycopg.Cursor[TupleRow]:
        record = redriven.record
        place = {"topic": topics.ATTEMPTS, "partition": record.partition, "offset": record.offset}
        parameters = {**place, "author": redriven.author, "outcome": redriven.outcome}
        if redriven.entry is not None:
            self._connection.execute(statements("audit_log.sql")["write_entry"], redriven.entry)
        return self._connection.execute(statements("dead_letters.sql")["mark_redriven"], parameters)

    def _advance(self, batch: Batch) -> psycopg.Cursor[TupleRow]:
        partitions, firsts, nexts, settled = columns(batch.advances, 4)
        return self._run(
            "advance_offsets",
            {
                "topic": topics.ATTEMPTS,
                "lease": self._posting.lease,
                "lease_s": self._posting.lease_s,
                "partitions": integers(partitions),
                "firsts": bigints(firsts),
                "nexts": bigints(nexts),
                "settled": bigints(settled),
            },
        )

    @staticmethod
    def _remembered(decided: Decided) -> Iterator[Fact]:
        if decided.fresh:
            yield (
                "remember_events",
                {
                    "topic": topics.ATTEMPTS,
                    "ids": uuids([each.event_id for each in decided.fresh]),
                    "hashes": words([each.hash for each in decided.fresh]),
                    "partitions": integers([each.record.partition for each in decided.fresh]),
                    "offsets": bigints([each.record.offset for each in decided.fresh]),
                },
            )

    def _facts(self, decided: Decided, postings: Postings) -> Iterator[Fact]:
        """Everything that is known before the balances are locked: most of the work, so that the lock is short."""
        if decided.settlements:
            txns = Txns()
            for incoming, settlement in decided.settlements:
                add_txn(txns, incoming, settlement)
            yield "write_txns", txns.parameters()
            if postings.rows:
                yield "write_postings", postings.drain(self._accounts.id_of)
            yield "write_receipts", receipt_rows(decided.settlements)
        if decided.cases:
            terms = {"owner": self._posting.case_owner, "max_age_days": self._posting.case_max_age_days}
            yield "open_cases", terms | case_parameters(decided.cases)
        for record, error in decided.poison:
            yield "write_dead_letter", dead_letter_row(record, error)

    def _write_balances(self, prepared: Prepared, buckets: Buckets) -> None:
        decided, postings = prepared.decided, prepared.postings
        outbox, windows = Outbox(), Windows()
        moves: list[Move] = []
        for (_, settlement), head in zip(decided.settlements, prepared.heads, strict=True):
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
        if postings.rows:
            self._run("write_postings", postings.drain(lambda account: prepared.ids[account.name]))
        write_balances(self._connection, moves, buckets, windows)
        if outbox.rows:
            self._run("write_outbox", outbox.parameters())

    def _run(self, name: str, parameters: dict[str, Any]) -> psycopg.Cursor[TupleRow]:
        sql: LiteralString = self._sql[name]
        return self._connection.execute(sql, parameters, binary=True)
