"""Settlement's tables in memory, with the rules that Postgres keeps for them: keys, insert-only, balanced postings."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from services.settlement.accounts import LedgerAccount
from services.settlement.balances import Buckets, BucketState
from services.settlement.entries import Outbox, Postings, Txns, Windows
from services.settlement.errors import ConflictError
from services.settlement.pricebook import PriceBook
from services.settlement.settling import CaseDraft
from tests.property.settlement.memory.rows import (
    BucketRow,
    DeadLetterRow,
    DisputeRow,
    EnvelopeKey,
    EnvelopeRow,
    MoveRow,
    OffsetRow,
    PostingRow,
    RunRow,
    StoredHold,
    TxnRow,
    WindowRow,
)

Move = tuple[UUID, int, int, int, int]


class Tables:
    """All tables. What is written is either whole or, when something raises before it, not there at all."""

    def __init__(self) -> None:
        self.books: list[PriceBook] = []
        self.accounts: dict[int, LedgerAccount] = {}
        self.account_ids: dict[str, int] = {}
        self.txns: dict[UUID, TxnRow] = {}
        self.idem_keys: dict[str, UUID] = {}
        self.postings: list[PostingRow] = []
        self.moves: list[MoveRow] = []
        self.buckets: dict[int, BucketRow] = {}
        self.bucket_ids: dict[tuple[str, str, str], int] = {}
        self.envelopes: dict[EnvelopeKey, EnvelopeRow] = {}
        self.windows: dict[int, WindowRow] = {}
        self.window_ids: dict[tuple[int, datetime], int] = {}
        self.holds: dict[UUID, StoredHold] = {}
        self.runs: dict[str, RunRow] = {}
        self.receipts: dict[UUID, dict[str, Any]] = {}
        self.cases: dict[UUID, CaseDraft] = {}
        self.disputes: dict[str, DisputeRow] = {}
        self.inbox: dict[UUID, tuple[str, int]] = {}
        self.dead_letters: dict[tuple[int, int], DeadLetterRow] = {}
        self.closed_cases: set[UUID] = set()
        self.offset = OffsetRow()
        self.outbox: list[tuple[str, str]] = []
        self.published: Counter[str] = Counter()

    def account_id(self, account: LedgerAccount) -> int:
        """The id of a ledger account, opened where it is new."""
        account_id = self.account_ids.setdefault(account.name, len(self.account_ids) + 1)
        self.accounts.setdefault(account_id, account)
        return account_id

    def bucket(self, holder: str, bucket: str, run: str = "") -> BucketRow | None:
        """A bucket by its name."""
        account = self.bucket_ids.get((holder, bucket, run))
        return None if account is None else self.buckets[account]

    def open_bucket(self, row: BucketRow) -> BucketRow:
        """A new bucket, or the one that is there."""
        self.bucket_ids.setdefault((row.holder, row.bucket, row.run), row.account)
        return self.buckets.setdefault(row.account, row)

    def lock(self, accounts: Iterable[int | None]) -> Buckets:
        """The buckets for a transaction to change."""
        rows = [self.buckets[account] for account in sorted({each for each in accounts if each is not None})]
        return Buckets((row.account, row.posted, row.held, row.overrun, row.funding == "limit") for row in rows)

    def window(self, envelope: EnvelopeRow, start: datetime) -> WindowRow:
        """The period of a limit that begins then, opened on its first use."""
        window_id = self.window_ids.setdefault((envelope.id, start), len(self.window_ids) + 1)
        return self.windows.setdefault(window_id, WindowRow(window_id, envelope.id, start))

    def known(self, idem_key: str, request_hash: bytes) -> dict[str, Any] | None:
        """The answer under a key, None where there is none. Raises ConflictError for another body."""
        if idem_key not in self.idem_keys:
            return None
        row = self.txns[self.idem_keys[idem_key]]
        if row.request_hash != request_hash.hex():
            raise ConflictError("this key was used before with another body")
        return row.detail

    def write(
        self,
        now: datetime,
        *,
        txns: Txns,
        postings: Postings,
        outbox: Outbox,
        moves: Sequence[Move] = (),
        buckets: Buckets | None = None,
        windows: Windows | None = None,
        cases: Sequence[CaseDraft] = (),
    ) -> None:
        """One transaction, checked before anything of it is written."""
        lines = [
            PostingRow(txn, line, each if isinstance(each, int) else self.account_id(each), currency, side, amount)
            for txn, line, each, currency, side, amount in postings.rows
        ]
        _must_balance(lines)
        for txn_id, kind, key, digest, _, holder, request_id, hold_id, detail in txns.rows:
            assert key not in self.idem_keys, f"{key} was written before"
            self.idem_keys[key] = txn_id
            self.txns[txn_id] = TxnRow(txn_id, kind, key, digest, holder, request_id, hold_id, orjson.loads(detail), now)
        self.postings += lines
        self.moves += [MoveRow(*move) for move in moves]
        for state in buckets.states if buckets else ():
            self._set_bucket(state)
        for window_id, (released, spent, overrun) in windows.moves.items() if windows else ():
            window = self.windows[window_id]
            window.held -= released
            window.spent += spent
            window.overrun += overrun
        for case in cases:
            assert case.id not in self.cases
            self.cases[case.id] = case
        self.outbox += [(topic, event_type) for topic, _, event_type, _, _ in outbox.rows]

    def end_hold(self, hold_id: UUID, state: str, captured: int, now: datetime) -> None:
        """The one terminal transition of a hold, by compare-and-set."""
        hold = self.holds[hold_id]
        assert hold.state == "HELD", "a hold ends once"
        hold.state, hold.captured_nano, hold.released_nano = state, captured, hold.amount_nano - captured
        hold.ended_at = now

    def _set_bucket(self, state: BucketState) -> None:
        row = self.buckets[state.account]
        row.posted, row.held, row.overrun = state.posted, state.held, state.overrun


def _must_balance(lines: Sequence[PostingRow]) -> None:
    total: dict[tuple[UUID, str], int] = {}
    for line in lines:
        assert line.amount > 0
        key = (line.txn, line.currency)
        total[key] = total.get(key, 0) + (line.amount if line.side == "debit" else -line.amount)
    assert not any(total.values()), "postings must balance per transaction and currency"
