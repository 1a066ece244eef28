"""The ledger in Postgres, through the production stores; only the clock is the test's."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

from schemas.calls import HoldProgress, ProgressBatch
from schemas.control import ControlRecord
from services.settlement import balance_store, case_store, expiry_store, limit_store
from services.settlement.cases import Closing
from services.settlement.database import SCHEMA, connect_async
from services.settlement.hold_progress import renew
from services.settlement.ledger_check import INVARIANTS, SEAL
from services.settlement.pricebook import BookDocument
from services.settlement.records import Record
from services.settlement.redriving import RedriveOrder, Redriver
from services.settlement.relay_store import OutboxSource
from services.settlement.roles import separate
from services.settlement.seal_check import check_seal
from services.settlement.seal_store import SealStore
from services.settlement.settle_store import SettleStore
from services.settlement.statements import SQL_DIR, statements
from tests.integration.settlement.ledger import TIMEOUT_MS, Ledger
from tests.integration.settlement.sealing import KEY, KEYS
from tests.property.settlement.backend import NEVER_S, Died, Settle, State
from tests.property.settlement.clock import Clock

OUR_SQL = Path(__file__).parent / "sql"
CLOCK_FIRST = f"set search_path = {SCHEMA}, pg_catalog"
NO_TRIGGERS = "set session_replication_role = replica"
SWEPT_AT_ONCE = 10_000
TRUNCATE_EVERY = 10


class PostgresLedger(Ledger):
    """One database for many sequences: each begins with empty tables."""

    account = "acme"

    def __init__(self, database_url: str) -> None:
        self.clock = Clock(self._set_clock)
        super().__init__(database_url, build=build)
        self.connection.execute(CLOCK_FIRST)
        # Nothing here outlives the test, so that no commit need wait for the disk.
        self.connection.execute("set synchronous_commit = off")
        self._check = one_query(statements("check.sql"))
        self._state = (OUR_SQL / "state.sql").read_bytes()
        self._cleaner = psycopg.connect(database_url, autocommit=True, options=f"-c search_path={SCHEMA}")
        self._cleaner.execute(NO_TRIGGERS)
        tables = self._cleaner.execute("select tablename from pg_tables where schemaname = %s", [SCHEMA]).fetchall()
        names = [f'"{name}"' for (name,) in tables if name != "clock"]
        self._empty = "; ".join(f"delete from {name}" for name in names).encode()
        self._truncate = f"truncate {', '.join(names)}".encode()
        self._resets = 0
        self._runner.run(self._open_lane())

    def close(self) -> None:
        self._cleaner.close()
        super().close()

    def reset(self) -> None:
        # Deleting is faster, and leaves what must be read over: truncate now and then.
        self._cleaner.execute(self._truncate if self._resets % TRUNCATE_EVERY == 0 else self._empty)
        self._resets += 1
        self.clock.reset()
        connection, self.lane._connection = self.lane._connection, None
        self.begin()
        self.lane._connection = connection
        self._seal: SealStore | None = None
        self._found_sealed = 0

    def publish(self, document: str | BookDocument) -> int:
        if isinstance(document, str):
            return super().publish(document)
        return self.books.publish(document)[0].version

    def freeze(self, kind: str, entity: str, *, frozen: bool) -> None:
        version = int(self.clock.now.timestamp())
        record = {"kind": kind, "entity_id": entity, "version": version, "frozen": frozen}
        self.frozen.apply(ControlRecord.model_validate(record))

    def renew(self, sign: HoldProgress) -> list[UUID]:
        return renew(self.connection, ProgressBatch(holds=[sign]))

    def settle(self, records: Sequence[Record]) -> None:
        self.worker.settle(records)

    def die_while_settling(self, records: Sequence[Record]) -> None:
        store = self.worker.store
        self.worker.store = DyingStore(self.connection, posting=store._posting, book_of=self.books.version)
        try:
            self.worker.settle(records)
        finally:
            self.take_over()

    def take_over(self) -> Settle:
        zombie = self.worker
        self.worker = self.new_worker(self.connection)
        return zombie.settle

    def rewind(self, offset: int) -> None:
        moved = "update consumer_offset set next = %s, consumed = %s, settled = %s"
        self.connection.execute(moved, [offset, offset, offset])
        self.take_over()

    def expire(self, *ids: UUID, grace_s: float = 0.0) -> int:
        return super().expire(*ids, grace_s=grace_s)

    def sweep(self, *, grace_s: float) -> int:
        overdue = expiry_store.overdue(self.connection, grace_s=grace_s, limit=SWEPT_AT_ONCE)
        expired = self.expire(*(hold_id for hold_id, _ in overdue), grace_s=grace_s) if overdue else 0
        expiry_store.move_sweep(self.connection, grace_s=grace_s)
        return expired

    def publish_events(self, limit: int, *, acknowledged: int) -> list[str]:
        source = OutboxSource()
        rows = source.next(self.connection, limit)
        for _ in range(acknowledged):
            source.published(self.connection, [row for row, _ in rows])
        return [message.type for _, message in rows]

    def close_a_case(self, kind: str) -> None:
        asked: dict[str, Any] = {"open_only": True, "owner": None, "kind": kind, "overdue": False, "limit": 10_000}
        oldest = case_store.cases(self.connection, **asked)[-1]["id"]
        case_store.close(self.connection, oldest, Closing(resolution="looked at", author="test"))

    def redrive(self, limit: int) -> dict[str, int]:
        redriver = Redriver(self.connection, book_of=self.books.version, case_owner="test", case_max_age_days=1)
        outcomes: dict[str, int] = redriver.run(RedriveOrder(author="test", limit=limit))["outcomes"]
        return outcomes

    def seal(self, limit: int) -> None:
        self._seal = self._seal or SealStore(self.connection, KEY)
        self._seal.seal(limit, sign=False)
        self._assert_sealed(since=0)

    def balances(self, account: str) -> list[dict[str, Any]]:
        return balance_store.balances(self.connection, account)

    def moves(self, account: str, bucket: str, *, page: int) -> list[tuple[int, int]]:
        found: list[tuple[int, int]] = []
        after: int | None = 0
        while after is not None:
            read = balance_store.postings(self.connection, account, bucket, after=after, limit=page)
            found += [(row["before_nano"], row["after_nano"]) for row in read["data"]]
            after = read["next"]
        return found

    def limits(self, account: str) -> list[dict[str, Any]]:
        return limit_store.limits(self.connection, account)

    def cases(self, *, open_only: bool) -> Counter[str]:
        asked: dict[str, Any] = {"open_only": open_only, "owner": None, "kind": None, "overdue": False, "limit": 10_000}
        return Counter(row["kind"] for row in case_store.cases(self.connection, **asked))

    def state(self) -> State:
        with self.connection.cursor(row_factory=dict_row) as cursor:
            row = cursor.execute(self._state, {"holder": self.account}).fetchone()
        assert row is not None
        runs: dict[str, tuple[str, dict[str, tuple[int, int]]]] = {}
        for run, state, bucket, budget, returned in row["runs"]:
            runs.setdefault(run, (state, {}))[1][bucket] = (budget, returned)
        return State(
            pots={(bucket, run): (posted, held, owed) for bucket, run, posted, held, owed in row["pots"]},
            holds={UUID(hold_id): tuple(rest) for hold_id, *rest in row["holds"]},
            windows={(*key, datetime.fromisoformat(start)): (a, b, c) for *key, start, a, b, c in row["windows"]},
            receipts={UUID(request_id): tuple(rest) for request_id, *rest in row["receipts"]},
            cases=Counter(dict(row["cases"])),
            dead_letters=row["dead_letters"],
            booked={(kind, currency): net for kind, currency, net in row["booked"]},
            runs=runs,
        )

    def assert_sound(self, patience_s: float = NEVER_S) -> None:
        assert self.connection.execute(self._check, {"patience_s": patience_s}).fetchall() == []
        if self._seal is not None:
            self._assert_sealed(since=self._found_sealed)

    def _assert_sealed(self, *, since: int) -> None:
        """I11: all of it where something was sealed, and after every other step what came since a checkpoint."""
        with self.connection.transaction():
            self.connection.execute("set transaction isolation level repeatable read, read only")
            assert check_seal(self.connection, patience_s=NEVER_S, keys=KEYS, since=since) == []
        row = self.connection.execute("select coalesce(max(size), 0) from seal_checkpoint").fetchone()
        assert row is not None
        self._found_sealed = row[0]

    def _set_clock(self, instant: datetime) -> None:
        self.connection.execute("update clock set at = %s", [instant])

    async def _open_lane(self) -> None:
        connection = await connect_async(self.url, statement_timeout_ms=TIMEOUT_MS)
        await connection.execute(CLOCK_FIRST)
        await connection.execute("set synchronous_commit = off")
        self.lane._connection = connection


class DyingStore(SettleStore):
    """Writes the whole transaction, and is killed before it can commit."""

    def _write_balances(self, *decided: Any) -> None:
        super()._write_balances(*decided)
        raise Died


def build(database_url: str) -> None:
    """The schema as it is written down, over a clock that stands before Postgres's own."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f"drop schema if exists {SCHEMA} cascade".encode())
        connection.execute(f"create schema {SCHEMA}".encode())
        connection.execute("create schema if not exists settlement_shadow")
        connection.execute(f"set search_path = {SCHEMA}".encode())
        connection.execute((OUR_SQL / "clock.sql").read_bytes())
        connection.execute(CLOCK_FIRST.encode())
        connection.execute((SQL_DIR / "schema.sql").read_bytes())
        assert separate(connection) is None


def one_query(blocks: dict[str, Any]) -> bytes:
    """All invariants in one round trip: the rows that violate one, named."""
    parts = [
        f"select '{name}' as invariant, to_json(broken)::text from ({blocks[name]}) as broken"
        for name in INVARIANTS
        if name != SEAL
    ]
    return "\nunion all\n".join(parts).encode()
