"""The admin calls about deliveries: what receivers were told, how they do, and a test of one."""

import time
from collections.abc import Mapping
from contextlib import asynccontextmanager
from typing import Annotated, Any

import psycopg
import structlog
from fastapi import APIRouter, Path, Query, Request
from psycopg_pool import PoolTimeout, TooManyRequests
from starlette.responses import Response

from schemas.alert_receivers import Receiver, ReceiverName, secrets_of, variable_of
from schemas.envelope import new_id, now
from services.analytics.admin_api import json_response
from services.analytics.admin_calls import operation
from services.analytics.audit import Change, Who, record, who
from services.analytics.delivery.loop import Directory
from services.analytics.delivery.models import (
    DeliveriesPage,
    DeliveryRow,
    ReceiverRow,
    ReceiversList,
    State,
    TestedReceiver,
    Variable,
)
from services.analytics.delivery.notice import Notice
from services.analytics.delivery.outcome import GivenUp, Later, Outcome, Sent
from services.analytics.delivery.queue import Queue
from services.analytics.delivery.sending import Sending
from services.analytics.errors import PostgresAwayError, QueryRefusedError, UnknownAlertError
from services.analytics.http_errors import ErrorReply

SHOWN = 500
LARGEST = 2**63 - 1
Name = Annotated[ReceiverName, Path(description="The receiver's name in the rule file.")]
MaybeId = Annotated[str | None, Query(min_length=1, max_length=128)]
NOWHERE = {"failures": 0, "paused_until": None, "reason": None, "sent_at": None}
log = structlog.get_logger("analytics.delivery")


class Desk:
    """Answers the calls. `directory` gives the receivers in force."""

    def __init__(self, queue: Queue, sending: Sending, directory: Directory, environ: Mapping[str, str]) -> None:
        self._queue = queue
        self._sending = sending
        self._directory = directory
        self._environ = environ

    async def deliveries(self, after: str | None, limit: int, **wanted: str | None) -> DeliveriesPage:
        """A page of deliveries, the newest first."""
        async with _told_once():
            found = await self._queue.read("deliveries", **wanted, before=_place(after), limit=limit + 1)
        page, more = found[:limit], len(found) > limit
        rows = [DeliveryRow(**row | {"account_id": row["account_id"] or None}) for row in page]
        return DeliveriesPage(data=rows, next_after=str(page[-1]["position"]) if more else None)

    async def receivers(self) -> ReceiversList:
        """Every receiver of the rule file, and how it does."""
        async with _told_once():
            how = {row.pop("receiver"): row for row in await self._queue.read("receivers")}
            waiting = {row["receiver"]: row for row in await self._queue.read("waiting_by_receiver")}
        return ReceiversList(
            data=[
                self._row(name, receiver, how.get(name, NOWHERE), waiting.get(name, {}))
                for name, receiver in sorted(self._directory().items())
            ]
        )

    def _row(self, name: str, receiver: Receiver, how: Mapping[str, Any], waiting: Mapping[str, Any]) -> ReceiverRow:
        named = sorted({variable_of(reference) or "" for reference in secrets_of(receiver).values()})
        return ReceiverRow(
            name=name,
            kind=receiver.kind,
            events=list(receiver.events),
            per_minute=receiver.per_minute,
            variables=[Variable(name=each, is_set=bool(self._environ.get(each, "").strip())) for each in named],
            waiting=waiting.get("waiting", 0),
            oldest_waiting_at=waiting.get("oldest"),
            **how,
        )

    async def test(self, name: str, by: Who) -> TestedReceiver:
        """Send a test message once the audit log has that. Raises UnknownAlertError where the rules name no such receiver."""
        receiver, author = self._directory().get(name), by.author
        if receiver is None:
            raise UnknownAlertError("receiver", name)
        async with _told_once(), self._queue.transaction() as connection:
            await record(connection, by, Change("receiver.test", "receiver", name))
        begun_s = time.monotonic()
        outcome = await self._sending.test(receiver, _test_of(name, author), str(new_id()))
        took_ms = round((time.monotonic() - begun_s) * 1_000)
        log.info("receiver_tested", receiver=name, author=author, sent=isinstance(outcome, Sent), status=outcome.status)
        return TestedReceiver(
            receiver=name,
            kind=receiver.kind,
            sent=isinstance(outcome, Sent),
            status=outcome.status,
            reason=_reason(outcome),
            took_ms=took_ms,
        )


def router(desk: Desk) -> APIRouter:
    """The routes under `/admin`."""
    routes = APIRouter(prefix="/admin")

    @routes.get("/deliveries", response_model=DeliveriesPage, **operation("ledger.read", "List what receivers are told"))
    async def list_deliveries(
        alert_id: MaybeId = None,
        receiver: MaybeId = None,
        state: State | None = None,
        after: Annotated[str | None, Query(max_length=40, description="The next_after of the page before.")] = None,
        limit: Annotated[int, Query(ge=1, le=SHOWN)] = 100,
    ) -> Response:
        """Of an alert, of a receiver, or in a state such as failed: one row for each change and receiver, newest first."""
        page = await desk.deliveries(after, limit, alert_id=alert_id, receiver=receiver, state=state)
        return json_response(page.model_dump())

    @routes.get("/receivers", response_model=ReceiversList, **operation("ledger.read", "List the receivers of alerts"))
    async def list_receivers() -> Response:
        """Those of the rule file in force: what each is told, whether its variables are set, and how it does."""
        return json_response((await desk.receivers()).model_dump())

    tested = operation("alert.write", "Send a test message to a receiver")
    tested["responses"][404] = {"model": ErrorReply}

    @routes.post("/receivers/{name}/test", response_model=TestedReceiver, **tested)
    async def test_receiver(name: Name, request: Request) -> Response:
        """Now, past the queue. It says that it is a test, wakes nobody, and closes again what it opened."""
        return json_response((await desk.test(name, who(request))).model_dump())

    return routes


def _test_of(name: str, author: str) -> Notice:
    at = now()
    return Notice(
        alert_id=f"test-{name}", transition_id=str(new_id()), event="test", at=at, fired_at=at, window_start=at, window_end=at,
        rule="test-of-a-receiver", signal="test", severity="info", subject_kind="receiver", subject_id=name, observed=0.0,
        threshold=0.0, unit="none", actor=author, reason=f"asked for by {author}",
    )  # fmt: skip


def _reason(outcome: Outcome) -> str | None:
    return outcome.reason if isinstance(outcome, Later | GivenUp) else outcome.remark


def _place(after: str | None) -> int | None:
    if after is None:
        return None
    if not (after.isascii() and after.isdigit() and int(after) <= LARGEST):
        raise QueryRefusedError("after", "`after` must be the `next_after` of the page before")
    return int(after)


@asynccontextmanager
async def _told_once() -> Any:
    """What psycopg raises about reaching Postgres becomes ours."""
    try:
        yield
    except psycopg.DataError as error:
        raise QueryRefusedError("alert_id", "a text of the call holds a character that nothing is named with") from error
    except (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout, TooManyRequests) as error:
        raise PostgresAwayError("Postgres does not answer: ask again a moment later") from error
