"""Statements of a real ledger: from balance to balance to the unit, whatever has happened."""

import csv
import io
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pypdf
import pytest

from schemas.calls import HoldRequest
from schemas.envelope import now
from schemas.money import NANO_PER_UNIT, Usage, format_amount
from schemas.requests import KeyRef
from services.settlement import statement_store
from services.settlement.account_statement import Section, Statement, StatementError, as_json
from services.settlement.errors import InvalidError, NotFoundError
from services.settlement.statement_csv import as_csv
from services.settlement.statement_pdf import as_pdf
from tests.integration.settlement.ledger import Ledger
from tests.integration.settlement.requests_made import KEY, attempt_on, candidate, completion, hold_for

UNIT = 1_000_000_000
OTHER = KeyRef(project_id="project-2", key_id="key-2")


def this_month() -> str:
    """The present month's name."""
    return f"{now():%Y-%m}"


def month_before(name: str) -> str:
    """The name of the month before."""
    first = datetime.strptime(name, "%Y-%m").replace(tzinfo=UTC)
    return f"{first - timedelta(days=1):%Y-%m}"


def statement(ledger: Ledger, month: str | None = None, bucket: str | None = None, *, account: str = "a") -> Statement:
    """A statement as of now."""
    return statement_store.read_statement(ledger.connection, account, month or this_month(), bucket, now=now())


def section(ledger: Ledger, bucket: str = "credit") -> Section:
    """One bucket's part of this month's statement."""
    (found,) = statement(ledger, bucket=bucket).sections
    return found


def answered(ledger: Ledger, **fields: Any) -> HoldRequest:
    """A request that was answered and charged."""
    usage = fields.pop("usage", None)
    request = hold_for("a", **fields)
    ledger.held(request)
    ledger.complete(completion(request, attempts=[attempt_on(request, usage=usage)] if usage else None))
    return request


def eventful(ledger: Ledger) -> None:
    """Everything that can happen to a bucket."""
    ledger.top_up("a", "credit", "10", payment_id="p1")
    ledger.top_up("a", "credit", "5", payment_id="p2")
    ledger.promote("a", "credit", "2", now() + timedelta(days=1))
    requests = [answered(ledger) for _ in range(3)]
    answered(ledger, key=OTHER, candidates=[candidate(model="gpt-4o-mini")])
    run = ledger.open_run("a", KEY, {"credit": "1"})
    ledger.extend_run("a", run, KEY, budget={"credit": "0.5"})
    inside = answered(ledger, run_id=run)
    ledger.refund("a", inside.request_id, "0.001")
    ledger.close_run("a", run, KEY)
    ledger.refund("a", requests[0].request_id)
    ledger.adjust("a", "credit", "0.5")
    ledger.adjust("a", "credit", "-0.25")
    lost = hold_for("a", deadline_at=now() - timedelta(seconds=1))
    ledger.held(lost)
    ledger.connection.execute("update hold set progress_output = 7 where state = 'HELD'")
    ledger.expire(lost.hold_id)
    ledger.charge_back("p2", dispute_id="d")
    ledger.reinstate("d", "3")
    ledger.expire_promotions(now() + timedelta(days=2))
    answered(ledger, usage=Usage(input_tokens=500, output_tokens=3_000_000))
    ledger.top_up("a", "credit", "60", payment_id="p3")


def test_the_statement_of_an_eventful_month_adds_up(ledger: Ledger) -> None:
    eventful(ledger)
    found = section(ledger)
    posted, _ = ledger.balance("a")
    assert (found.opening_nano, found.closing_nano) == (0, posted)
    assert sum(line.nano for line in found.lines) == posted
    assert set(found.totals) == {
        *("top_up", "promotion", "charge", "charge_of_lost_request", "refund", "adjustment", "chargeback", "reinstatement"),
        *("credit_expired", "run_earmark", "run_return", "debt_repaid"),
    }
    totals = found.totals
    assert (totals["top_up"], totals["promotion"], totals["reinstatement"]) == (75 * UNIT, 2 * UNIT, 3 * UNIT)
    assert (totals["adjustment"], totals["chargeback"], totals["refund"]) == (UNIT // 4, -5 * UNIT, 1_375_000)
    assert totals["run_earmark"] + totals["run_return"] == -375_000
    (returned,) = [line for line in found.lines if line.kind == "run_return"]
    assert returned.text == f"0.000375 of {format_amount(-totals['run_earmark'])} spent"
    assert totals["debt_repaid"] == -sum(line.owed_nano for line in found.lines)
    ledger.assert_sound()


def test_charges_are_summed_by_day_project_key_and_model(ledger: Ledger) -> None:
    eventful(ledger)
    charges = [line for line in section(ledger).lines if line.kind == "charge"]
    small = next(line for line in charges if line.model == "gpt-4o-mini")
    assert (small.project_id, small.key_id, small.route_type, small.requests) == ("project-2", "key-2", "direct", 1)
    large = next(line for line in charges if line.model == "gpt-4o")
    assert (large.project_id, large.requests) == ("project-1", 4)
    assert large.key_name == "checkout"
    (inside,) = section(ledger).in_runs
    assert (inside.nano, inside.requests, inside.run_id.startswith("run_")) == (-1_375_000, 1, True)


def test_the_csv_of_a_real_month_adds_up(ledger: Ledger) -> None:
    eventful(ledger)
    ledger.top_up("a", "wallet", "7")
    rows = list(csv.DictReader(io.StringIO(as_csv(statement(ledger)).decode())))
    for bucket in ("credit", "wallet"):
        *moved, closing = (Decimal(row["amount"] or "0") for row in rows if row["bucket"] == bucket)
        assert sum(moved) == closing == Decimal(ledger.balance("a", bucket)[0]) / NANO_PER_UNIT


def test_the_pdf_of_a_real_month_can_be_read(ledger: Ledger) -> None:
    eventful(ledger)
    found = statement(ledger)
    pages = pypdf.PdfReader(io.BytesIO(as_pdf(found))).pages
    text = "\n".join(page.extract_text() for page in pages)
    for amount in (row["amount"] for bucket in as_json(found)["buckets"] for row in bucket["totals"]):
        assert amount in text
    assert as_json(found)["buckets"][0]["closing"] in text


def test_a_month_ends_where_the_next_begins_to_the_unit(ledger: Ledger) -> None:
    eventful(ledger)
    answered(ledger)
    before, present = month_before(this_month()), this_month()
    # Moved apart by months, and within a moment of each other the other way round than they were numbered.
    shift = "update txn set committed_at = %s where id = %s"
    rows = ledger.rows(
        "select m.txn from balance_move m join bucket_balance b on b.account = m.account where b.run = '' order by seq"
    )
    boundary = datetime.strptime(present, "%Y-%m").replace(tzinfo=UTC)
    for index, row in enumerate(rows):
        off = timedelta(seconds=20 * (index - 10)) if index % 2 else timedelta(seconds=20 * (index - 10) + 90)
        ledger.as_owner(shift, boundary + off, row["txn"])
    first, second = statement(ledger, before, "credit").sections[0], statement(ledger, present, "credit").sections[0]
    assert statement(ledger, before).period.complete
    assert first.closing_nano == second.opening_nano
    assert (first.opening_nano, second.closing_nano) == (0, ledger.balance("a")[0])
    assert first.lines
    assert second.lines
    earlier = statement(ledger, month_before(before), "credit").sections[0]
    assert (earlier.opening_nano, earlier.closing_nano, list(earlier.lines)) == (0, 0, [])


def test_a_statement_that_does_not_add_up_is_refused(ledger: Ledger) -> None:
    eventful(ledger)
    ledger.as_owner(
        "update posting set amount = amount + 1 where (txn, line) = (select txn, line from posting p join account k"
        " on k.id = p.account and k.kind = 'customer_bucket' limit 1)"
    )
    with pytest.raises(StatementError) as refused:
        statement(ledger)
    assert (refused.value.status, refused.value.code) == (500, "statement_does_not_add_up")


def test_what_is_not_there_is_refused(funded: Ledger) -> None:
    with pytest.raises(NotFoundError):
        statement(funded, bucket="gold")
    with pytest.raises(InvalidError):
        statement(funded, "2026-1")
    assert statement(funded, account="nobody").sections == []


def test_a_statement_is_read_as_of_one_instant(funded: Ledger) -> None:
    answered(funded)
    assert funded.connection.info.transaction_status == 0
    assert section(funded).closing_nano == funded.balance("a")[0]
    assert funded.connection.info.transaction_status == 0


def test_topups_are_listed_page_by_page_newest_first(ledger: Ledger) -> None:
    for number in range(5):
        ledger.top_up("a", "credit", str(number + 1), payment_id=f"p:{number}")
    ledger.top_up("b", "credit", "9")
    ledger.charge_back("p:3", "2", dispute_id="d")
    ledger.reinstate("d", "1")
    pages, after = [], None
    while True:
        page = statement_store.top_ups(ledger.connection, "a", after=after, limit=2)
        pages.append([(row["payment_id"], row["amount"]) for row in page["data"]])
        if page["next_after"] is None:
            break
        after = UUID(page["next_after"])
    assert pages == [[("p:4", "5.00"), ("p:3", "4.00")], [("p:2", "3.00"), ("p:1", "2.00")], [("p:0", "1.00")]]
    (taken,) = [
        row for row in statement_store.top_ups(ledger.connection, "a", after=None, limit=9)["data"] if row["taken_back_nano"]
    ]
    assert (taken["payment_id"], taken["taken_back_nano"], taken["reinstated_nano"]) == ("p:3", 2 * UNIT, UNIT)
    assert taken["provider"] == "bank"
