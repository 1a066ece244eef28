"""Runs over tables in memory, by settlement's own arithmetic of earmarks and of what is given back."""

from collections.abc import Sequence
from typing import Any

from schemas import topics
from schemas.envelope import new_id
from schemas.requests import KeyRef
from schemas.runs import RUN_PREFIX, RunExtension, RunOpening
from services.settlement import accounts
from services.settlement.balances import BucketState
from services.settlement.entries import Outbox, Postings, Txns
from services.settlement.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from services.settlement.money_in import EPOCH, period_start
from services.settlement.run_store import _digest as digest_of
from services.settlement.runs import BudgetLine, LimitLeft, budget_lines, check_deadline, check_limits, earmark, give_back
from tests.property.settlement.clock import Clock
from tests.property.settlement.memory.paying import count_past
from tests.property.settlement.memory.rows import BucketRow, EnvelopeRow, RunRow
from tests.property.settlement.memory.tables import Move, Tables


class MemoryRuns:
    """Opens, extends and closes runs; every change is one transaction."""

    def __init__(self, tables: Tables, clock: Clock) -> None:
        self._tables, self._clock = tables, clock

    def open(self, holder: str, asked: RunOpening) -> str:
        """The run's id. Raises ApiError."""
        tables, now = self._tables, self._clock.now
        check_deadline(asked.deadline_at, now)
        lines = budget_lines(asked.budget, tables.books[-1])
        run_id = f"{RUN_PREFIX}{new_id().hex}"
        scope = f"{holder}/{asked.key.key_id}/{asked.idempotency_key}" if asked.idempotency_key else run_id
        digest = digest_of(asked.model_dump(mode="json", exclude={"deadline_at", "idempotency_key"}))
        known = tables.known(f"run_open:{scope}", digest)
        if known is not None:
            return str(known["run_id"])
        run = RunRow(run_id, holder, asked.key.project_id, asked.key.key_id, asked.reserve, asked.deadline_at)
        check_limits(lines, self._limits_around(holder, asked.key))
        change = _Change(tables, run, lines)
        change.take()
        tables.runs[run_id] = run
        change.give()
        change.write(now, "run_open", f"run_open:{scope}", digest, "RunOpened")
        return run_id

    def extend(self, holder: str, run_id: str, asked: RunExtension) -> None:
        """More budget or a later deadline. Raises ApiError."""
        tables, now = self._tables, self._clock.now
        if asked.deadline_at is not None:
            check_deadline(asked.deadline_at, now)
        lines = budget_lines(asked.budget or {}, tables.books[-1])
        digest = digest_of(asked.model_dump(mode="json", exclude={"deadline_at", "idempotency_key"}))
        idem_key = f"run_extend:{run_id}/{asked.idempotency_key or new_id()}"
        if tables.known(idem_key, digest) is not None:
            return
        run = self.owned(holder, run_id, asked.key)
        if run.state != "OPEN":
            raise ConflictError("the run takes nothing more", code="run_closed")
        if asked.deadline_at is not None and asked.deadline_at < run.deadline_at:
            raise InvalidError("an extension moves the deadline to later", code="invalid_deadline")
        check_limits(lines, self._limits_around(holder, asked.key))
        change = _Change(tables, run, lines)
        change.take()
        change.give()
        run.deadline_at = asked.deadline_at or run.deadline_at
        change.write(now, "run_extend", idem_key, digest, "RunExtended")

    def owned(self, holder: str, run_id: str, key: KeyRef) -> RunRow:
        """The run. Raises NotFoundError and ForbiddenError."""
        run = self._tables.runs.get(run_id)
        if run is None or run.holder != holder:
            raise NotFoundError("there is no such run", code="run_not_found")
        if run.key_id != key.key_id:
            raise ForbiddenError("the run belongs to another key", code="run_not_allowed")
        return run

    def close(self, run: RunRow) -> bool:
        """No more holds, and the end where none is open. Returns whether it ended by this."""
        tables = self._tables
        if run.state == "CLOSED":
            return False
        run.state = "CLOSING"
        if any(hold.run == run.id and hold.state == "HELD" for hold in tables.holds.values()):
            return False
        lines = [BudgetLine(bucket, _currency(tables, bucket), 0) for bucket in sorted(run.budget)]
        change = _Change(tables, run, lines)
        for line in lines:
            run.returned[line.bucket] = change.give_back(line)
        run.state = "CLOSED"
        change.write(self._clock.now, "run_close", f"run_close:{run.id}", None, "RunClosed")
        return True

    def close_due(self) -> int:
        """Those past their deadline, and those that wait for their last hold."""
        now = self._clock.now
        due = [run for run in self._tables.runs.values() if run.state == "CLOSING" or run.deadline_at < now]
        return sum(self.close(run) for run in sorted(due, key=lambda run: run.deadline_at))

    def _limits_around(self, holder: str, key: KeyRef) -> list[LimitLeft]:
        tables, now = self._tables, self._clock.now
        mine = {"project": key.project_id, "key": key.key_id}
        found = []
        for (owner, kind, entity, currency, window), envelope in tables.envelopes.items():
            if owner != holder or envelope.limit_nano is None or kind == "run" or mine.get(kind, entity) != entity:
                continue
            window_id = tables.window_ids.get((envelope.id, period_start(window, now)))
            row = tables.windows[window_id] if window_id else None
            used = row.held + row.spent if row else 0
            found.append(LimitLeft(kind, entity, currency, window, envelope.limit_nano - used))
        return found


class _Change:
    """One transaction on the buckets and reserves of a run."""

    def __init__(self, tables: Tables, run: RunRow, lines: Sequence[BudgetLine]) -> None:
        self._tables, self._run, self._lines = tables, run, lines
        rows = [tables.bucket(run.holder, line.bucket, each) for line in lines for each in ("", run.id)]
        self._buckets = tables.lock(row.account for row in rows if row)
        self._before = {state.account: state.posted for state in self._buckets.states}
        self._txn_id = new_id()
        self._postings = Postings()
        self._moves: list[Move] = []

    def take(self) -> None:
        """Take the budget out of the customer's buckets, where it is set aside. Raises ApiError before anything is written."""
        for line in self._lines if self._run.reserve else ():
            earmark(line, self._state(line, ""))

    def give(self) -> None:
        """Put it into the reserves, or make it the run's limits."""
        for line in self._lines:
            self._run.budget[line.bucket] = self._run.budget.get(line.bucket, 0) + line.nano
            self._run.returned.setdefault(line.bucket, 0)
            if self._run.reserve:
                own, pot = self._state(line, ""), self._open_reserve(line)
                assert own is not None
                pot.posted += line.nano
                self._postings.move(self._txn_id, own.account, pot.account, line.currency, line.nano)
                self._moved(own)
                self._moved(pot)
            else:
                self._add_limit(line)

    def give_back(self, line: BudgetLine) -> int:
        """End the reserve of one bucket. Returns what went back."""
        reserve, own = self._state(line, self._run.id), self._state(line, "")
        if reserve is None or own is None:
            return 0
        back, receivable = give_back(reserve, own), accounts.overrun_receivable(line.currency)
        for debit, credit, nano in (
            (reserve.account, receivable, back.repaid),
            (reserve.account, own.account, back.returned),
            (own.account, receivable, back.returned_repaid),
            (own.account, receivable, back.paid_by_bucket),
        ):
            self._postings.move(self._txn_id, debit, credit, line.currency, nano)
        self._moved(own)
        self._moved(reserve)
        return back.returned

    def write(self, now: Any, kind: str, idem_key: str, digest: bytes | None, event_type: str) -> None:
        """The transaction with all that it moved."""
        txns, outbox = Txns(), Outbox()
        detail = {"run_id": self._run.id}
        request_hash = digest.hex() if digest else None
        txns.add(self._txn_id, kind, idem_key, holder=self._run.holder, detail=detail, request_hash=request_hash)
        outbox.add(topics.LEDGER, self._run.holder, event_type, self._txn_id, "{}")
        self._tables.write(now, txns=txns, postings=self._postings, outbox=outbox, moves=self._moves, buckets=self._buckets)

    def _state(self, line: BudgetLine, run: str) -> BucketState | None:
        row = self._tables.bucket(self._run.holder, line.bucket, run)
        return self._buckets.state(row.account) if row else None

    def _open_reserve(self, line: BudgetLine) -> BucketState:
        holder, run = self._run.holder, self._run.id
        account = self._tables.account_id(accounts.run_reserve(holder, run, line.bucket, line.currency))
        if account not in self._tables.buckets:
            self._tables.open_bucket(BucketRow(account, holder, line.bucket, line.currency, run))
            self._buckets.add(BucketState(account, 0, 0, 0))
            self._before[account] = 0
        return self._buckets.state(account)

    def _add_limit(self, line: BudgetLine) -> None:
        key = (self._run.holder, "run", f"{self._run.id}/{line.bucket}", line.currency, "run")
        tables, run = self._tables, self._run
        if key not in tables.envelopes:
            envelope = tables.envelopes[key] = EnvelopeRow(len(tables.envelopes) + 1, 0, 0)
            past = [hold for hold in tables.holds.values() if hold.run == run.id and hold.bucket == line.bucket]
            count_past(tables, tables.window(envelope, EPOCH), past)
        envelope = tables.envelopes[key]
        envelope.limit_nano = (envelope.limit_nano or 0) + line.nano
        envelope.version += 1

    def _moved(self, state: BucketState) -> None:
        self._moves.append((self._txn_id, state.account, self._before[state.account], state.posted, state.held))


def _currency(tables: Tables, bucket: str) -> str:
    found = tables.books[-1].bucket_named(bucket)
    assert found is not None
    return found.currency
