"""Dead letters: listed, shown, and read again with today's code through the same settlement transaction."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import psycopg
import structlog
from psycopg.rows import TupleRow, dict_row
from pydantic import BaseModel, ConfigDict, Field

from schemas import topics
from services.settlement import metrics
from services.settlement.arrays import plain, texts
from services.settlement.batch import Posting
from services.settlement.errors import NotFoundError, PoisonError, RacedError
from services.settlement.money_in import Name
from services.settlement.pricebook import PriceBook
from services.settlement.records import Incoming, Record, read
from services.settlement.settle_store import SettleStore
from services.settlement.statements import statements

SHOWN_BYTES = 64 * 1024
RACES = 5
NOBODY = "redriving"
"""The lease of a batch that moves no offset."""
STILL_POISON, GONE = "still_poison", "redriven_meanwhile"
Connection = psycopg.Connection[TupleRow]
log = structlog.get_logger(__name__)


class Place(NamedTuple):
    """Where a record lies; the first place of all lies before every record."""

    topic: str = ""
    partition: int = -1
    offset: int = -1


class RedriveOrder(BaseModel):
    """Body of `POST /admin/dead-letters/redrive`: one letter, those of a reason, or all, so many at once from a place on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    author: Name = "admin"
    reason: Name | None = None
    partition: Annotated[int | None, Field(ge=0)] = None
    offset: Annotated[int | None, Field(ge=0)] = None
    after: tuple[int, int] = (-1, -1)
    limit: Annotated[int, Field(ge=1, le=1000)] = 200


def letters(
    connection: Connection, *, waiting: bool | None, reason: str | None, after: Place, limit: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """A page of dead letters without their payloads, and how many there are of each reason."""
    sql = statements("dead_letters.sql")
    asked = {"waiting": waiting, "reason": reason, "limit": limit, **after._asdict()}
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(sql["dead_letters"], asked).fetchall(), cursor.execute(sql["reasons"]).fetchall()


def letter(connection: Connection, place: Place) -> dict[str, Any]:
    """A dead letter with the beginning of its payload as text. Raises NotFoundError."""
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(statements("dead_letters.sql")["dead_letter"], place._asdict()).fetchone()
    if row is None:
        raise NotFoundError(
            f"there is no dead letter at {place.topic}/{place.partition}/{place.offset}", code="dead_letter_not_found"
        )
    return {**row, "key": _text(row["key"]), "payload": _text(row["payload"])}


class Redriver:
    """Reads dead letters again over one connection."""

    def __init__(
        self,
        connection: Connection,
        *,
        book_of: Callable[[int], PriceBook | None],
        case_owner: str,
        case_max_age_days: int,
        noted: Callable[[Record, str], Mapping[str, Any]] | None = None,
    ) -> None:
        """`noted` is what the audit log says of a letter and what it came to."""
        posting = Posting(lease=NOBODY, lease_s=0, case_owner=case_owner, case_max_age_days=case_max_age_days)
        self._connection = connection
        self._store = SettleStore(connection, posting=posting, book_of=book_of)
        self._noted = noted
        self._sql = statements("dead_letters.sql")

    def run(self, order: RedriveOrder) -> dict[str, Any]:
        """How many letters came to what, and the place of the last one: None when there are no more.

        Raises NotFoundError for a single letter that does not wait.
        """
        records = self._waiting(order)
        outcomes: dict[str, int] = {}
        poison: list[tuple[Record, PoisonError]] = []
        for record in records:
            outcome = self._one(record, order.author, poison)
            outcomes[outcome] = outcomes.get(outcome, 0) + 1
        self._note(poison)
        more = order.offset is None and len(records) == order.limit
        log.info("redriven", author=order.author, outcomes=outcomes)
        return {"outcomes": outcomes, "next": [records[-1].partition, records[-1].offset] if more else None}

    def _waiting(self, order: RedriveOrder) -> list[Record]:
        asked: Mapping[str, Any] = {"topic": topics.ATTEMPTS, "reason": order.reason, "limit": order.limit}
        if order.partition is not None and order.offset is not None:
            place = {"partition": order.partition, "offset": order.offset}
            rows = self._connection.execute(self._sql["waiting_letter"], {**asked, **place}).fetchall()
            if not rows:
                raise NotFoundError(f"no dead letter waits at {order.partition}/{order.offset}", code="dead_letter_not_waiting")
        else:
            place = {"partition": order.after[0], "offset": order.after[1]}
            rows = self._connection.execute(self._sql["waiting_letters"], {**asked, **place}).fetchall()
        return [Record(partition, offset, _bytes(key), _bytes(value), kind) for partition, offset, key, value, kind in rows]

    def _one(self, record: Record, author: str, poison: list[tuple[Record, PoisonError]]) -> str:
        try:
            incoming = read(record)
            return self._settle(incoming, author)
        except PoisonError as error:
            poison.append((record, error))
            return STILL_POISON

    def _settle(self, incoming: Incoming, author: str) -> str:
        """What the record came to. Raises PoisonError. The worker may be settling the same event under another offset."""
        for _ in range(RACES):
            try:
                outcome = self._store.redrive(incoming, author=author, noted=self._noted)
            except (RacedError, psycopg.errors.UniqueViolation, psycopg.errors.DeadlockDetected) as error:
                log.info("redrive_again", reason=type(error).__name__)
                if not self._waits(incoming.record):
                    return GONE
                continue
            metrics.REDRIVEN.labels(outcome).inc()
            return outcome
        return self._store.redrive(incoming, author=author, noted=self._noted)

    def _waits(self, record: Record) -> bool:
        place = {"topic": topics.ATTEMPTS, "partition": record.partition, "offset": record.offset}
        return self._connection.execute(self._sql["waiting_letter"], place).fetchone() is not None

    def _note(self, poison: Sequence[tuple[Record, PoisonError]]) -> None:
        if not poison:
            return
        self._connection.execute(
            self._sql["still_poison"],
            {
                "topic": topics.ATTEMPTS,
                "partitions": plain([record.partition for record, _ in poison]),
                "offsets": plain([record.offset for record, _ in poison]),
                "reasons": texts([error.reason for _, error in poison]),
                "details": texts([error.detail for _, error in poison]),
            },
        )


def _text(value: bytes | None) -> str | None:
    return (
        None
        if value is None
        else bytes(value[:SHOWN_BYTES]).decode("utf-8", "replace").replace("\x00", "\N{REPLACEMENT CHARACTER}")
    )


def _bytes(value: bytes | memoryview | None) -> bytes | None:
    return None if value is None else bytes(value)
