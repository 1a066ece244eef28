"""`/admin/cases` and `/admin/dead-letters`: what the ledger set aside for a person."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Annotated, Any, TypeVar
from uuid import UUID

import psycopg
from fastapi import APIRouter, Query, Response
from psycopg.rows import TupleRow

from schemas import topics
from services.settlement import audit_log, case_store, redriving
from services.settlement.admin_calls import CHANGING, AdminCall, Calling, operation
from services.settlement.admin_models import Page
from services.settlement.audit_log import Change
from services.settlement.case_models import Case, CaseRow, Letter, LettersPage, Redriven
from services.settlement.cases import Assignment, Closing
from services.settlement.changes import Made, Reply, change, page_of
from services.settlement.errors import InvalidError
from services.settlement.money_in import Name
from services.settlement.records import Record
from services.settlement.redriving import Place, RedriveOrder, Redriver

Connection = psycopg.Connection[TupleRow]
Connect = Callable[[], AbstractContextManager[Connection]]
Limit = Annotated[int, Query(ge=1, le=1000)]
Asked = TypeVar("Asked", Assignment, Closing, RedriveOrder)
SHOWN = ("owner", "closed_at", "resolution", "closed_by", "decision")
"""What of a case a change can touch."""


def case_router(*, connect: Connect, redriver: Callable[[Connection, AdminCall], Redriver]) -> APIRouter:
    """The routes. Handlers that block run in FastAPI's threads."""
    router = APIRouter(prefix="/admin")
    _case_routes(router, connect)
    _letter_routes(router, connect, redriver)
    return router


def _case_routes(router: APIRouter, connect: Connect) -> None:
    @router.get("/cases", response_model=Page[CaseRow], **operation("ledger.read", "List cases"))
    def list_cases(  # noqa: PLR0917 - FastAPI passes them by name
        is_open: Annotated[bool | None, Query(alias="open")] = None,
        owner: Name | None = None,
        kind: Name | None = None,
        overdue: bool = False,
        after: UUID | None = None,
        limit: Limit = 100,
    ) -> Response:
        """The newest first, with their age and whether they are overdue."""
        with connect() as connection:
            found = case_store.cases(
                connection, open_only=is_open, owner=owner, kind=kind, overdue=overdue, after=after, limit=limit + 1
            )
        return Reply(page_of(found, limit, lambda row: row["id"]))

    @router.get("/cases/{case_id}", response_model=Case, **operation("ledger.read", "Show a case", errors=[404]))
    def show_case(case_id: UUID) -> Response:
        """With everything that was done about it."""
        with connect() as connection:
            return Reply(case_store.read_case(connection, case_id))

    @router.post(
        "/cases/{case_id}/assign", response_model=Case, **operation("ledger.write", "Assign a case", errors=[404, *CHANGING])
    )
    def assign_case(case_id: UUID, asked: Assignment, call: Calling) -> Response:
        """Gives an open case another owner."""
        mine = _signed(call, asked)
        return _changed(connect, call, "case.assign", case_id, mine.author, lambda at: case_store.assign(at, case_id, mine))

    @router.post(
        "/cases/{case_id}/close", response_model=Case, **operation("ledger.write", "Close a case", errors=[404, *CHANGING])
    )
    def close_case(case_id: UUID, asked: Closing, call: Calling) -> Response:
        """Closing again in the same words changes nothing; no money moves."""
        mine = _signed(call, asked)
        return _changed(connect, call, "case.close", case_id, mine.author, lambda at: case_store.close(at, case_id, mine))


def _changed(  # noqa: PLR0917 - the words of the two calls
    connect: Connect, call: AdminCall, action: str, case_id: UUID, author: str, make: Callable[[Connection], dict[str, Any]]
) -> Response:
    def made(connection: Connection) -> Made:
        case_store.lock(connection, case_id)
        before, after = case_store.read_case(connection, case_id), make(connection)
        entry = Change(
            action=action,
            entity_kind="case",
            entity_id=str(case_id),
            account_id=after["holder"],
            before={name: before[name] for name in SHOWN},
            after={name: after[name] for name in SHOWN},
            reason=after["resolution"],
            author=author,
        )
        return Made(answer=after, changes=[entry] if entry.before != entry.after else [])

    return change(connect, call, made)


def _signed(call: AdminCall, asked: Asked) -> Asked:
    return asked.model_copy(update={"author": call.author(asked.author)})


def _letter_routes(router: APIRouter, connect: Connect, redriver: Callable[[Connection, AdminCall], Redriver]) -> None:
    @router.get("/dead-letters", response_model=LettersPage, **operation("ledger.read", "List dead letters"))
    def list_letters(  # noqa: PLR0917 - FastAPI passes them by name
        waiting: bool | None = None,
        reason: Name | None = None,
        after: Annotated[str | None, Query(max_length=300, description="topic/partition/offset")] = None,
        after_topic: str = "",
        after_partition: int = -1,
        after_offset: int = -1,
        limit: Limit = 100,
    ) -> Response:
        """In the order of their places; how many there are of each reason stands beside."""
        place = Place(after_topic, after_partition, after_offset) if after is None else _place(after)
        with connect() as connection:
            page, reasons = redriving.letters(connection, waiting=waiting, reason=reason, after=place, limit=limit)
        last = page[-1] if len(page) == limit else None
        parts = last and [last["topic"], last["partition"], last["offset"]]
        following = parts and "/".join(map(str, parts))
        return Reply({"object": "list", "data": page, "next_after": following, "reasons": reasons, "next": parts})

    @router.get(
        "/dead-letters/{topic}/{partition}/{offset}",
        response_model=Letter,
        **operation("ledger.read", "Show a dead letter", errors=[404]),
    )
    def show_letter(topic: str, partition: int, offset: int) -> Response:
        """With the beginning of its payload."""
        with connect() as connection:
            return Reply(redriving.letter(connection, Place(topic, partition, offset)))

    @router.post(
        "/dead-letters/redrive",
        response_model=Redriven,
        **operation("ledger.write", "Read dead letters again", errors=[404, *CHANGING]),
    )
    def redrive(order: RedriveOrder, call: Calling) -> Response:
        """One, those of a reason, or all: each that can be read by now is settled, once."""
        with connect() as connection:
            return Reply(redriver(connection, call).run(_signed(call, order)))


def letter_entry(call: AdminCall, record: Record, outcome: str) -> dict[str, Any]:
    """What the audit log says of a letter that was read again."""
    place = f"{topics.ATTEMPTS}/{record.partition}/{record.offset}"
    after = {"outcome": outcome}
    return audit_log.row(call, Change(action="dead_letter.redrive", entity_kind="dead_letter", entity_id=place, after=after))


def _place(text: str) -> Place:
    topic, _, rest = text.partition("/")
    partition, _, offset = rest.partition("/")
    try:
        return Place(topic, int(partition), int(offset))
    except ValueError as error:
        raise InvalidError("after is the next_after of the page before: topic/partition/offset", param="after") from error
