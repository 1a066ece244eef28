"""Opens, extends and closes runs. Every change is one transaction with its postings and its event."""

import hashlib
from typing import Any, NamedTuple
from uuid import UUID

import orjson
import psycopg
from psycopg.rows import TupleRow, dict_row

from schemas import topics
from schemas.envelope import new_id, now
from schemas.ledger import RunBudget, RunExtended, RunExtendedData, RunOpened, RunOpenedData
from schemas.requests import KeyRef
from schemas.runs import RUN_PREFIX, RunExtension, RunOpening
from services.settlement.arrays import plain, texts
from services.settlement.entries import Outbox
from services.settlement.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from services.settlement.pricebook import PriceBook
from services.settlement.refusals import utc_text
from services.settlement.run_limits import add_run_limits
from services.settlement.run_pots import RunPots
from services.settlement.runs import BudgetLine, LimitLeft, budget_lines, check_deadline, check_limits, earmark
from services.settlement.statements import statements

Connection = psycopg.Connection[TupleRow]


class Change(NamedTuple):
    """One opening or extension on its way into the ledger: whose run, under which key for ever, and the body's digest."""

    connection: Connection
    holder: str
    run_id: str
    idem_key: str
    digest: bytes


def open_run(connection: Connection, holder: str, asked: RunOpening, book: PriceBook) -> tuple[str, bool]:
    """Open a run. Returns its id and whether it is new: the same idempotency key and body give the run that there is.

    Raises InvalidError, PaymentRequiredError (what cannot be set aside), ConflictError (the same key with another body).
    """
    check_deadline(asked.deadline_at, now())
    lines = budget_lines(asked.budget, book)
    run_id = f"{RUN_PREFIX}{new_id().hex}"
    scope = f"{holder}/{asked.key.key_id}/{asked.idempotency_key}" if asked.idempotency_key else run_id
    idem_key = f"run_open:{scope}"
    # A deadline that was given as a duration moves with the clock: the same request asked again means the same run.
    digest = _digest(asked.model_dump(mode="json", exclude={"deadline_at", "idempotency_key"}))
    for _ in range(2):
        known = _known(connection, idem_key, digest)
        if known is not None:
            return known, False
        try:
            with connection.transaction():
                _open(Change(connection, holder, run_id, idem_key, digest), asked, lines)
            return run_id, True
        except psycopg.errors.UniqueViolation:
            continue
    raise ConflictError("the run is being opened by another request: ask again", code="in_progress")


def extend_run(connection: Connection, holder: str, run_id: str, asked: RunExtension, book: PriceBook) -> None:
    """Add to a run's budget, move its deadline, or both. Asking again under the same idempotency key changes nothing.

    Raises NotFoundError, ForbiddenError, ConflictError (closed, or the same key with another body), InvalidError,
    PaymentRequiredError.
    """
    if asked.budget is None and asked.deadline_at is None:
        raise InvalidError("give a budget to add, a later deadline, or both", param="budget")
    if asked.deadline_at is not None:
        check_deadline(asked.deadline_at, now())
    lines = budget_lines(asked.budget or {}, book)
    scope = f"{run_id}/{asked.idempotency_key}" if asked.idempotency_key else f"{run_id}/{new_id()}"
    digest = _digest(asked.model_dump(mode="json", exclude={"deadline_at", "idempotency_key"}))
    idem_key = f"run_extend:{scope}"
    if _known(connection, idem_key, digest) is not None:
        return
    try:
        with connection.transaction():
            _extend(Change(connection, holder, run_id, idem_key, digest), asked, lines)
    except psycopg.errors.UniqueViolation:
        if _known(connection, idem_key, digest) is None:
            raise


def owned_run(connection: Connection, holder: str, run_id: str, key: KeyRef, *, lock: bool) -> dict[str, Any]:
    """The run's row. Raises NotFoundError, also for another account's, and ForbiddenError for another key's."""
    with connection.cursor(row_factory=dict_row) as cursor:
        query = statements("runs.sql")["lock_run" if lock else "run"]
        row = cursor.execute(query, {"run": run_id, "holder": holder}).fetchone()
    if row is None:
        raise NotFoundError(f"there is no run {run_id}", code="run_not_found", param="run_id")
    if row["key_id"] != key.key_id:
        raise ForbiddenError(f"the run {run_id} belongs to another API key", code="run_not_allowed", param="run_id")
    return row


def _open(change: Change, asked: RunOpening, lines: list[BudgetLine]) -> None:
    connection, holder, run_id, idem_key, digest = change
    sql, admin = statements("runs.sql"), statements("admin.sql")
    connection.execute(admin["lock_holder"], {"holder": holder})
    pots = RunPots(connection, holder, run_id, [line.bucket for line in lines])
    warnings = check_limits(lines, _limits(connection, holder, asked.key))
    detail = {
        "key_name": asked.key.key_name,
        "environment": asked.environment,
        "tags": asked.tags,
        "label": asked.label,
        "rules": asked.rules.model_dump(),
    }
    row = {
        "run": run_id,
        "holder": holder,
        "project": asked.key.project_id,
        "key": asked.key.key_id,
        "reserve": asked.reserve,
        "deadline": asked.deadline_at,
        "now": now(),
        "detail": _text(detail),
        "warnings": _text(warnings),
    }
    connection.execute(sql["add_run"], row)
    budgets = _add_budget(connection, pots, holder, run_id, lines, reserve=asked.reserve, opening=True)
    event = RunOpened(
        account_id=holder,
        run_id=run_id,
        environment=asked.environment,
        tags=asked.tags,
        event_id=pots.txn_id,
        data=RunOpenedData(
            txn_id=pots.txn_id,
            run_id=run_id,
            key=asked.key,
            label=asked.label,
            rules=asked.rules,
            reserved=asked.reserve,
            deadline_at=asked.deadline_at,
            budgets=budgets,
        ),
    )
    _record(connection, run_id, "opened", lines, {"deadline_at": utc_text(asked.deadline_at)})
    pots.write(
        "run_open",
        idem_key,
        detail={"run_id": run_id},
        request_hash=digest.hex(),
        outbox=_outbox(holder, "RunOpened", pots.txn_id, event.to_json()),
    )


def _extend(change: Change, asked: RunExtension, lines: list[BudgetLine]) -> None:
    connection, holder, run_id, idem_key, digest = change
    connection.execute(statements("admin.sql")["lock_holder"], {"holder": holder})
    pots = RunPots(connection, holder, run_id, [line.bucket for line in lines])
    run = owned_run(connection, holder, run_id, asked.key, lock=True)
    if run["state"] != "OPEN":
        envelope = {"kind": "run", "id": run_id, "window": None}
        raise ConflictError(
            f"the run {run_id} is {run['state'].lower()}: open another one", code="run_closed", facts={"envelope": envelope}
        )
    deadline = asked.deadline_at or run["deadline_at"]
    if deadline < run["deadline_at"]:
        raise InvalidError(
            "an extension moves the deadline to later, not to earlier", code="invalid_deadline", param="deadline"
        )
    check_limits(lines, _limits(connection, holder, asked.key))
    budgets = _add_budget(connection, pots, holder, run_id, lines, reserve=run["reserve"])
    connection.execute(statements("runs.sql")["set_deadline"], {"run": run_id, "deadline": deadline})
    data = RunExtendedData(txn_id=pots.txn_id, run_id=run_id, key=asked.key, deadline_at=deadline, budgets=budgets)
    event = RunExtended(account_id=holder, run_id=run_id, event_id=pots.txn_id, data=data)
    _record(connection, run_id, "extended", lines, {"deadline_at": utc_text(deadline)})
    pots.write(
        "run_extend",
        idem_key,
        detail={"run_id": run_id},
        request_hash=digest.hex(),
        outbox=_outbox(holder, "RunExtended", pots.txn_id, event.to_json()),
    )


def _add_budget(
    connection: Connection,
    pots: RunPots,
    holder: str,
    run_id: str,
    lines: list[BudgetLine],
    *,
    reserve: bool,
    opening: bool = False,
) -> list[RunBudget]:
    """Earmark the amounts, or set them as the run's own limits. The customer's buckets are locked."""
    sql = statements("runs.sql")
    if not lines:
        return []
    amounts = {
        "run": run_id,
        "holder": holder,
        "buckets": texts([line.bucket for line in lines]),
        "currencies": texts([line.currency for line in lines]),
        "amounts": plain([line.nano for line in lines]),
    }
    connection.execute(sql["add_budgets"], amounts)
    if not reserve:
        add_run_limits(connection, holder, run_id, lines, opening=opening)
        return [RunBudget(bucket=line.bucket, currency=line.currency, amount_nano=line.nano) for line in lines]
    return [_earmark(pots, line) for line in lines]


def _earmark(pots: RunPots, line: BudgetLine) -> RunBudget:
    own = pots.own(line.bucket)
    earmark(line, own)
    assert own is not None, "earmark refuses a bucket that was never opened"
    pot = pots.open_reserve(line)
    pot.posted += line.nano
    pots.postings.move(pots.txn_id, own.account, pot.account, line.currency, line.nano)
    return RunBudget(
        bucket=line.bucket,
        currency=line.currency,
        amount_nano=line.nano,
        balance=pots.moved(own, line, reserve=False),
        reserve=pots.moved(pot, line, reserve=True),
    )


def _limits(connection: Connection, holder: str, key: KeyRef) -> list[LimitLeft]:
    asked = {"holder": holder, "project": key.project_id, "key": key.key_id}
    return [LimitLeft(*row) for row in connection.execute(statements("runs.sql")["limits_around"], asked).fetchall()]


def _record(connection: Connection, run_id: str, kind: str, lines: list[BudgetLine], detail: dict[str, Any]) -> None:
    """One line of the run's timeline."""
    budgets = [{"bucket": line.bucket, "currency": line.currency, "amount_nano": line.nano} for line in lines]
    text = _text({**detail, "budgets": budgets})
    connection.execute(statements("runs.sql")["add_change"], {"run": run_id, "kind": kind, "detail": text})


def _known(connection: Connection, idem_key: str, digest: bytes) -> str | None:
    """The run that was opened or extended under the key. Raises ConflictError where the body was another."""
    row = connection.execute(statements("admin.sql")["txn_by_key"], {"idem_key": idem_key}).fetchone()
    if row is None:
        return None
    if bytes(row[1]) != digest:
        raise ConflictError("this idempotency key was used before with another body: use a new one")
    found: str = row[2]["run_id"]
    return found


def _outbox(holder: str, event_type: str, txn_id: UUID, payload: bytes) -> Outbox:
    outbox = Outbox()
    outbox.add(topics.LEDGER, holder, event_type, txn_id, payload.decode())
    return outbox


def _digest(body: dict[str, Any]) -> bytes:
    return hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).digest()[:16]


def _text(value: object) -> str:
    return orjson.dumps(value).decode()
