"""The buckets and reserves of one run under lock, and what a transaction over them writes."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import TupleRow

from schemas.envelope import new_id
from schemas.ledger import BalanceMove
from services.settlement import accounts
from services.settlement.accounts import LedgerAccount
from services.settlement.arrays import texts
from services.settlement.balance_writes import Move, write_balances
from services.settlement.balances import Buckets, BucketState
from services.settlement.entries import Outbox, Postings, Txns
from services.settlement.ledger_accounts import AccountIds
from services.settlement.runs import BudgetLine
from services.settlement.statements import statements


class RunPots:
    """Inside a transaction: locks when made. `own` and `reserve` are None for a bucket that was never opened."""

    def __init__(self, connection: psycopg.Connection[TupleRow], holder: str, run: str, buckets: Sequence[str]) -> None:
        self._connection = connection
        self._holder = holder
        self._run = run
        self._ids = AccountIds(connection)
        asked = {"holder": holder, "run": run, "buckets": texts(buckets)}
        rows = connection.execute(statements("runs.sql")["lock_pots"], asked, binary=True).fetchall()
        self._states = Buckets(row[:5] for row in rows)
        self._account = {(row[5], row[6]): row[0] for row in rows}
        self._before = {row[0]: row[1] for row in rows}
        self._moves: list[Move] = []
        self.txn_id: UUID = new_id()
        self.postings = Postings()

    def own(self, bucket: str) -> BucketState | None:
        """The customer's bucket."""
        return self._state(bucket, "")

    def reserve(self, bucket: str) -> BucketState | None:
        """The run's reserve of the bucket."""
        return self._state(bucket, self._run)

    def open_reserve(self, line: BudgetLine) -> BucketState:
        """The run's reserve, opened where there is none yet."""
        found = self.reserve(line.bucket)
        if found is not None:
            return found
        account = self.id_of(accounts.run_reserve(self._holder, self._run, line.bucket, line.currency))
        opened = {
            "account": account,
            "holder": self._holder,
            "bucket": line.bucket,
            "currency": line.currency,
            "run": self._run,
        }
        self._connection.execute(statements("runs.sql")["open_reserve"], opened)
        state = BucketState(account, 0, 0, 0)
        self._states.add(state)
        self._account[line.bucket, self._run] = account
        self._before[account] = 0
        return state

    def id_of(self, account: LedgerAccount) -> int:
        """The id of a ledger account, opened where it is new."""
        self._ids.open({account.name: account})
        return self._ids.id_of(account)

    def moved(self, state: BucketState, line: BudgetLine, *, reserve: bool) -> BalanceMove:
        """The move of a pot from what it was to what it is now, for the event and for the ledger."""
        before = self._before[state.account]
        self._moves.append((self.txn_id, state.account, before, state.posted, state.held))
        return BalanceMove(
            bucket=line.bucket,
            currency=line.currency,
            before_nano=before,
            after_nano=state.posted,
            held_after_nano=state.held,
            run=self._run if reserve else None,
        )

    def write(self, kind: str, idem_key: str, *, detail: dict[str, Any], request_hash: str | None, outbox: Outbox) -> None:
        """The transaction with its postings, balances and events."""
        sql = statements("settle.sql")
        txns = Txns()
        txns.add(self.txn_id, kind, idem_key, holder=self._holder, detail=detail, request_hash=request_hash)
        self._connection.execute(sql["write_txns"], txns.parameters())
        if self.postings.rows:
            self._ids.open(self.postings.accounts)
            self._connection.execute(sql["write_postings"], self.postings.drain(self._ids.id_of))
        write_balances(self._connection, self._moves, self._states)
        self._connection.execute(sql["write_outbox"], outbox.parameters())

    def _state(self, bucket: str, run: str) -> BucketState | None:
        account = self._account.get((bucket, run))
        return None if account is None else self._states.state(account)
