"""Audits as work of their own: one at a time, and none counts as running whose process is gone."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from schemas.envelope import now
from services.settlement import attempt_pages
from services.settlement.audit import audit_store
from services.settlement.audit.audit_store import AuditLog, AuditOrder
from services.settlement.database import connect
from services.settlement.errors import ConflictError, NotFoundError
from tests.integration.settlement.ledger import Ledger
from tests.integration.settlement.processes import until
from tests.integration.settlement.requests_made import attempt_on, completion, hold_for

ORDER = AuditOrder(kind="rebuild")


def started_long_ago(ledger: Ledger) -> UUID:
    audit_id = audit_store.start(ledger.connection, ORDER, author="ada")
    ledger.as_owner("update settlement.audit set started_at = now() - interval '1 hour' where id = %s", audit_id)
    return audit_id


def test_a_second_audit_is_refused_while_one_runs_and_names_it(ledger: Ledger) -> None:
    first = audit_store.start(ledger.connection, ORDER, author="ada")
    with pytest.raises(ConflictError, match=str(first)):
        audit_store.start(ledger.connection, ORDER, author="eve")
    AuditLog(ledger.connection, first).done({"ok": True})
    assert audit_store.start(ledger.connection, ORDER, author="eve") != first


def test_an_audit_whose_process_is_gone_has_failed_and_one_that_lives_has_not(ledger: Ledger) -> None:
    gone = started_long_ago(ledger)
    found = audit_store.read(ledger.connection, gone)
    assert (found["state"], found["error"]) == ("failed", "its process is gone: start it again")
    alive = started_long_ago(ledger)
    with connect(ledger.url, statement_timeout_ms=20_000) as connection:
        log = AuditLog(connection, alive)
        assert log.take() == ORDER
        log.progress("half way")
        found = audit_store.read(ledger.connection, alive)
        assert (found["state"], found["progress"]) == ("running", "half way")
    # Postgres lets go of a closed connection's locks in its own time.
    until(lambda: audit_store.read(ledger.connection, alive)["state"] == "failed")


def test_an_audit_is_taken_by_one_process_and_not_again_when_it_has_ended(ledger: Ledger) -> None:
    audit_id = audit_store.start(ledger.connection, ORDER, author="ada")
    with connect(ledger.url, statement_timeout_ms=20_000) as connection:
        log = AuditLog(connection, audit_id)
        assert log.take() == ORDER
        assert AuditLog(ledger.connection, audit_id).take() is None
        log.failed("no reason")
        log.done({"ok": True})
    assert audit_store.read(ledger.connection, audit_id)["error"] == "no reason", "an end is the end"
    assert AuditLog(ledger.connection, audit_id).take() is None


def test_an_audit_that_is_not_there_is_said_to_be_none(ledger: Ledger) -> None:
    with pytest.raises(NotFoundError):
        audit_store.read(ledger.connection, uuid4())
    assert audit_store.newest(ledger.connection, limit=5) == []


def test_attempts_are_paged_by_request_and_chosen_by_channel(funded: Ledger) -> None:
    holds = [hold_for("a") for _ in range(3)]
    for hold in holds:
        funded.held(hold)
        failed = attempt_on(hold, outcome="failed", error_class="timeout", channel="elsewhere")
        funded.complete(completion(hold, attempts=[failed, attempt_on(hold, 2, upstream_id="chatcmpl-1")], charged=2))
    bounds = {"since": now() - timedelta(minutes=1), "until": now() + timedelta(minutes=1)}
    main = frozenset({"openai-main"})
    first = attempt_pages.attempts(funded.connection, **bounds, channels=main, after=None, limit=2)
    rest = attempt_pages.attempts(funded.connection, **bounds, channels=main, after=first["next"], limit=2)
    found = [*first["data"], *rest["data"]]
    assert [row["request_id"] for row in found] == sorted(hold.request_id for hold in holds)
    assert {(row["attempt"], row["charged"], row["upstream_id"], row["account_id"]) for row in found} == {
        (2, True, "chatcmpl-1", "a")
    }
    assert rest["next"] is None
    every = attempt_pages.attempts(funded.connection, **bounds, channels=frozenset(), after=None, limit=9)
    assert len(every["data"]) == 6
    before = {"since": now() - timedelta(days=2), "until": now() - timedelta(days=1)}
    assert attempt_pages.attempts(funded.connection, **before, channels=main, after=None, limit=9)["data"] == []


def test_holds_of_requests_that_never_completed_are_listed_with_their_candidates(funded: Ledger) -> None:
    lost, late = (hold_for("a", deadline_at=now() - timedelta(minutes=5)) for _ in range(2))
    for hold in (lost, late):
        funded.held(hold)
        funded.expire(hold.hold_id)
    funded.complete(completion(late))
    minute = timedelta(minutes=1)
    [row] = attempt_pages.unknown_ends(funded.connection, since=now() - minute, until=now() + minute, limit=9)["data"]
    assert (row["request_id"], row["state"]) == (lost.request_id, "EXPIRED")
    assert row["candidates"] == [["openai-main", "direct", "gpt-4o"]]
