"""The settlement transaction: offset, inbox, holds, postings, balances and outbox, committed together or not at all."""

from collections.abc import Callable, Sequence
from typing import Any, LiteralString

import psycopg
from psycopg.rows import TupleRow

from schemas import topics
from services.settlement import outgoing
from services.settlement.arrays import plain, uuids
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
from services.settlement.entries import Outbox, Postings, Txns, Windows, case_parameters, columns, post_fixed, post_overrun
from services.settlement.errors import LostLeaseError, RacedError
from services.settlement.ledger_accounts import AccountIds
from services.settlement.pricebook import PriceBook
from services.settlement.records import Incoming
from services.settlement.settling import Settlement
from services.settlement.statements import statements

CONSUMER = "settlement"


class SettleStore:
    """Posts batches over one connection. Not thread-safe: one batch at a time."""

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
        decided = self._decisions.decide(batch)
        self._post(batch, decided)
        return decided

    def redrive(self, incoming: Incoming, *, author: str) -> str:
        """Post a dead letter that can be read by now, and mark it in the same transaction. Returns what it came to.

        Raises PoisonError where it cannot be posted still, RacedError where somebody else has redriven it, or psycopg's.
        """
        batch = Batch(incoming=[incoming])
        decided = self._decisions.decide(batch, again=True)
        if decided.poison:
            raise decided.poison[0][1]
        outcome = outcome_of(decided)
        batch.redriven = Redriven(incoming.record, author, outcome)
        self._post(batch, decided)
        return outcome

    def _post(self, batch: Batch, decided: Decided) -> None:
        settlements = [settlement for _, settlement in decided.settlements]
        postings = Postings()
        for settlement in settlements:
            post_fixed(postings, settlement)
        self._accounts.open(postings.accounts | possible_overruns(settlements))
        with self._connection.pipeline() as pipeline, self._connection.transaction():
            self._write(batch, decided, settlements, postings, pipeline)

    def _write(
        self,
        batch: Batch,
        decided: Decided,
        settlements: Sequence[Settlement],
        postings: Postings,
        pipeline: psycopg.Pipeline,
    ) -> None:
        advances = self._advance(batch)
        marked = self._mark(batch.redriven) if batch.redriven else None
        self._remember(decided)
        self._write_facts(decided, postings)
        heads = captured_heads(settlements)
        ends = hold_ends(settlements)
        # From here on others wait. Buckets, then holds, then windows: the order of everybody who takes more than one of them.
        accounts = {hold.account for hold in ended_holds(settlements) if hold.account is not None}
        locked = self._run("lock_buckets", {"accounts": plain(sorted(accounts))}) if accounts else None
        ended = self._run("end_holds", ends) if ends["ids"] != "{}" else None
        pipeline.sync()
        if advances.rowcount != len(batch.advances):
            raise LostLeaseError(f"offsets moved or the lease is lost: {advances.rowcount} of {len(batch.advances)} advanced")
        if marked is not None and marked.rowcount != 1:
            raise RacedError("the dead letter was redriven meanwhile")
        if ended is not None and ended.rowcount != ends["ids"].count(",") + 1:
            raise RacedError("a hold ended meanwhile")
        self._write_balances(decided, heads, postings, Buckets(locked.fetchall() if locked else ()))

    def _mark(self, redriven: Redriven) -> psycopg.Cursor[TupleRow]:
        record = redriven.record
        place = {"topic": topics.ATTEMPTS, "partition": record.partition, "offset": record.offset}
        parameters = {**place, "author": redriven.author, "outcome": redriven.outcome}
        return self._connection.execute(statements("dead_letters.sql")["mark_redriven"], parameters)

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
                add_txn(txns, incoming, settlement)
            self._run("write_txns", txns.parameters())
            if postings.rows:
                self._run("write_postings", postings.drain(self._accounts.id_of))
            self._run("write_receipts", receipt_rows(decided.settlements))
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
            self._run("write_dead_letter", dead_letter_row(record, error))

    def _write_balances(self, decided: Decided, heads: Sequence[str], postings: Postings, buckets: Buckets) -> None:
        outbox, windows = Outbox(), Windows()
        moves: list[Move] = []
        for (_, settlement), head in zip(decided.settlements, heads, strict=True):
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
            self._run("write_postings", postings.drain(self._accounts.id_of))
        write_balances(self._connection, moves, buckets, windows)
        if outbox.rows:
            self._run("write_outbox", outbox.parameters())

    def _run(self, name: str, parameters: dict[str, Any]) -> psycopg.Cursor[TupleRow]:
        sql: LiteralString = self._sql[name]
        return self._connection.execute(sql, parameters, binary=True)
