"""A whole ledger in a test's hands: the services' own parts over a real database, without HTTP and Kafka in between."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
from psycopg.rows import TupleRow, dict_row

from schemas import topics
from schemas.attempts import RequestCompleted
from schemas.calls import HoldRequest
from schemas.envelope import now
from schemas.requests import KeyRef
from schemas.runs import RunExtension, RunOpening
from services.settlement import expiry_store, limit_store
from services.settlement.balance_store import balances
from services.settlement.batch import Decided, Posting
from services.settlement.book_store import BookStore
from services.settlement.control import Frozen
from services.settlement.cost_centres import CostCentre, open_cost_centre
from services.settlement.database import SCHEMA, configure_json, connect
from services.settlement.hold_store import HoldLane
from services.settlement.leases import Leases
from services.settlement.ledger_check import check
from services.settlement.money_in import LimitChange, TopUp
from services.settlement.positions import Positions
from services.settlement.price_file import parse_book
from services.settlement.receipt_store import read_receipt
from services.settlement.records import Record
from services.settlement.relay_store import OutboxSource
from services.settlement.roles import separate
from services.settlement.run_closing import close_due_runs, close_run
from services.settlement.run_reader import run, run_account
from services.settlement.run_store import extend_run, open_run
from services.settlement.settle_store import SettleStore
from services.settlement.statements import SQL_DIR
from services.settlement.topup_store import top_up
from tests.integration.settlement.corrections import Corrections
from tests.logins import as_service

PRICES = Path(__file__).parents[3] / "deploy" / "catalog" / "prices.yaml"
TIMEOUT_MS = 20_000
NEVER_S = 1e9


class Ledger(Corrections):
    """One database, as settlement logs in to it. Offsets of partition 0 of the attempts topic stand for Kafka."""

    def __init__(
        self,
        database_url: str,
        *,
        batch: int = 200,
        default_output: int = 4096,
        build: Callable[[str], None] | None = None,
    ) -> None:
        configure_json()
        (build or rebuild)(database_url)
        self.owner_url = database_url
        self.url = as_service(database_url, "settlement")
        self.connection: psycopg.Connection[TupleRow] = connect(self.url, statement_timeout_ms=TIMEOUT_MS)
        self._runner = asyncio.Runner()
        self._batch = batch
        self._default_output = default_output
        self.begin()
        self.publish(PRICES.read_text("utf-8"))

    def begin(self) -> None:
        """Parts that remember nothing of what the database had before."""
        self.books = BookStore(self._own)
        self.frozen = Frozen()
        self.lane = HoldLane(
            self.url,
            books=self.books,
            stop=self.frozen.stop,
            default_output=self._default_output,
            floor_output=256,
            timeout_ms=TIMEOUT_MS,
        )
        self.offset = 0
        self.worker = self.new_worker(self.connection)

    def close(self) -> None:
        """Close every connection."""
        self._runner.run(self.lane.close())
        self._runner.close()
        self.connection.close()

    def as_owner(self, statement: str, *parameters: Any) -> None:
        """Do to the tables what settlement itself may not, past their triggers: for tests that tamper with them."""
        with connect(self.owner_url, statement_timeout_ms=TIMEOUT_MS) as connection:
            connection.execute("set session_replication_role = replica")
            connection.execute(statement.encode(), parameters or None)

    def publish(self, prices: str) -> int:
        """Put a price book in force; its version."""
        book, _ = self.books.publish(parse_book(prices))
        return book.version

    def new_worker(self, connection: psycopg.Connection[TupleRow]) -> "Worker":
        """A worker that takes the lease over, as a successor of the same name does."""
        return Worker(self, connection)

    def top_up(self, account: str, bucket: str, amount: str, payment_id: str | None = None) -> dict[str, Any]:
        """A payment; a new one unless its id is given."""
        asked = TopUp(account_id=account, bucket=bucket, amount=amount, provider="bank", payment_id=payment_id or uuid4().hex)
        answer, _ = top_up(self.connection, asked, self.books.in_force)
        return answer

    def limit(  # noqa: PLR0917 - the words of the admin call in its order
        self, account: str, kind: str, entity: str, window: str, limit: str | None, currency: str = "USD"
    ) -> None:
        """Set or remove a limit."""
        asked = {"account_id": account, "kind": kind, "id": entity, "currency": currency, "window": window, "limit": limit}
        limit_store.set_limit(self.connection, LimitChange.model_validate(asked), author="test")

    def cost_centre(self, account: str, bucket: str, limit: str, window: str = "month") -> None:
        """A bucket that a limit funds."""
        asked = CostCentre.model_validate({"account_id": account, "bucket": bucket, "limit": limit, "window": window})
        open_cost_centre(self.connection, asked, self.books.in_force, author="test")

    def open_run(self, account: str, key: KeyRef, budget: dict[str, str], **fields: Any) -> str:
        """A run's id; its deadline is in ten minutes unless the fields say otherwise."""
        made: dict[str, Any] = {"key": key, "budget": budget, "deadline_at": now() + timedelta(minutes=10)}
        run_id, _ = open_run(self.connection, account, RunOpening(**{**made, **fields}), self.books.in_force)
        return run_id

    def extend_run(self, account: str, run_id: str, key: KeyRef, **fields: Any) -> None:
        """More budget or a later deadline."""
        extend_run(self.connection, account, run_id, RunExtension(key=key, **fields), self.books.in_force)

    def close_run(self, account: str, run_id: str, key: KeyRef) -> dict[str, Any]:
        """The run after it was told to close."""
        close_run(self.connection, account, run_id, key)
        return self.run(account, run_id)

    def close_due_runs(self) -> int:
        """How many runs were closed by their deadline, or with their last hold."""
        return close_due_runs(self.connection, limit=100)

    def run(self, account: str, run_id: str) -> dict[str, Any]:
        """A run with its budgets."""
        return run(self.connection, account, run_id)

    def run_account(self, account: str, run_id: str, *, after: int = 0, limit: int = 10_000) -> dict[str, Any]:
        """A run with its whole account."""
        return run_account(self.connection, self.books, account, run_id, after=after, limit=limit)

    def hold(self, *requests: HoldRequest) -> list[dict[str, Any]]:
        """The answers to one batch."""
        return self._runner.run(self.lane.place(list(requests)))

    def held(self, request: HoldRequest) -> dict[str, Any]:
        """The answer to a hold that must be granted."""
        answer = self.hold(request)[0]
        assert answer["status"] == "held", answer
        return answer

    def complete(self, *events: RequestCompleted) -> Decided:
        """Settle events as one batch at the next offsets."""
        return self.worker.settle([self.record(event) for event in events])

    def record(self, event: RequestCompleted, value: bytes | None = None) -> Record:
        """The event, or other bytes in its place, at the next offset."""
        self.offset += 1
        payload = event.to_json() if value is None else value
        return Record(0, self.offset - 1, event.account_id.encode(), payload, "RequestCompleted")

    def expire(self, *ids: UUID, grace_s: float = 0.0) -> int:
        """Expire what is overdue of the holds."""
        found = expiry_store.expire_holds(
            self.connection, ids, grace_s=grace_s, book_of=self.books.version, case_owner="test", case_max_age_days=1
        )
        return len(found)

    def balance(self, account: str, bucket: str = "credit") -> tuple[int, int]:
        """(posted, held) in nano; (0, 0) for a bucket that is not there."""
        for row in balances(self.connection, account):
            if row["bucket"] == bucket:
                return row["posted_nano"], row["held_nano"]
        return 0, 0

    def receipt(self, account: str, request_id: UUID) -> dict[str, Any]:
        """The request's receipt."""
        return read_receipt(self.connection, self.books, account, request_id)

    def rows(self, query: str, *parameters: Any) -> list[dict[str, Any]]:
        """Rows of a small query."""
        with self.connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(query.encode(), parameters).fetchall()

    def count(self, table: str) -> int:
        """How many rows a table has."""
        found: int = self.rows(f'select count(*) as n from "{table}"')[0]["n"]
        return found

    def outbox(self) -> list[tuple[str, str, Any]]:
        """(topic, type, payload as written by the relay) of every waiting event, in order."""
        return [(m.topic, m.type, m.value) for _, m in OutboxSource().next(self.connection, 100_000)]

    def assert_sound(self, patience_s: float = NEVER_S) -> None:
        """Every invariant holds."""
        broken = [str(finding) for finding in check(self.connection, patience_s=patience_s) if not finding.ok]
        assert broken == []

    @contextmanager
    def _own(self) -> Iterator[psycopg.Connection[TupleRow]]:
        yield self.connection


def rebuild(database_url: str) -> None:
    """An empty schema as it is written down: faster than the migrations, which a test holds to it."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f"drop schema if exists {SCHEMA} cascade".encode())
        connection.execute(f"create schema {SCHEMA}".encode())
        connection.execute("create schema if not exists settlement_shadow")
        connection.execute(f"set search_path = {SCHEMA}".encode())
        connection.execute((SQL_DIR / "schema.sql").read_bytes())
        assert separate(connection) is None


class Worker:
    """The settlement transaction with a lease of its own."""

    def __init__(self, ledger: Ledger, connection: psycopg.Connection[TupleRow]) -> None:
        token = uuid4().hex
        leases = Leases(topic=topics.ATTEMPTS, token=token, owner="test", lease_s=600)
        self.store = SettleStore(
            connection,
            posting=Posting(lease=token, lease_s=600, case_owner="test", case_max_age_days=1),
            book_of=ledger.books.version,
        )
        self.positions = Positions(leases.take(connection, [0], starting=True))
        self._batch = ledger._batch

    def settle(self, records: Sequence[Record]) -> Decided:
        """Post the records; what the last batch was decided to be."""
        decided = Decided()
        for batch in self.positions.batches(records, self._batch):
            if batch.advances:
                decided = self.store.settle(batch)
                self.positions.posted(batch)
        return decided


@contextmanager
def running_ledger(database_url: str, **options: Any) -> Iterator[Ledger]:
    """A ledger until the block ends."""
    ledger = Ledger(database_url, **options)
    try:
        yield ledger
    finally:
        ledger.close()
