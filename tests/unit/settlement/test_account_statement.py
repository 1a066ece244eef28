"""A statement says what moved a bucket, adds up, and can be read by a spreadsheet and on paper."""

import csv
import io
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pypdf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.money import NANO_PER_UNIT as UNIT
from services.settlement.account_statement import (
    Line,
    Section,
    Statement,
    StatementError,
    as_json,
    charge_lines,
    other_lines,
    period,
)
from services.settlement.errors import InvalidError
from services.settlement.sequence import last_before
from services.settlement.statement_csv import as_csv, safe
from services.settlement.statement_documents import document
from services.settlement.statement_pdf import MOST_LINES, as_pdf, plain

NOW = datetime(2026, 4, 2, 9, tzinfo=UTC)
DAY = date(2026, 3, 14)
CHARGE = Line(
    day=DAY,
    kind="charge",
    nano=-1_375_000,
    project_id="prj_1",
    key_id="Q7mZk2XvB9tL",
    model="gpt-4o",
    route_type="direct",
    requests=3,
    owed_nano=5,
    key_name="checkout-bot",
)
TOP_UP = Line(day=DAY, kind="top_up", nano=25_000_000_000, text="payment", reference="stripe:pi_1")
IN_RUN = replace(CHARGE, run_id="run_1", nano=-7)
SECTION = Section(
    bucket="credit",
    currency="USD",
    opening_nano=1_000_000_000,
    closing_nano=25_998_625_000,
    lines=[TOP_UP, CHARGE],
    in_runs=[IN_RUN],
)
STATEMENT = Statement(account_id="acc_1", period=period("2026-03", NOW), generated_at=NOW, sections=[SECTION])


def row(
    kind: str, *, credit: int = 0, debit: int = 0, idem_key: str = "", budget: int | None = None, **detail: Any
) -> dict[str, Any]:
    """A transaction as the store reads it; `budget` is that of a run that ended."""
    moved = {"credit": credit, "debit": debit, "budget_nano": budget}
    return {"kind": kind, "at": NOW, "idem_key": idem_key, "detail": detail, **moved}


def printed(pdf: bytes) -> str:
    """The text of every page."""
    return "\n".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(pdf)).pages)


@pytest.mark.parametrize(
    ("name", "start", "end"),
    [("2026-03", (2026, 3), (2026, 4)), ("2025-12", (2025, 12), (2026, 1)), ("2026-04", (2026, 4), (2026, 5))],
)
def test_a_month_reaches_from_its_first_instant_to_the_next_ones(
    name: str, start: tuple[int, int], end: tuple[int, int]
) -> None:
    found = period(name, NOW)
    assert (found.start, found.end) == (datetime(*start, 1, tzinfo=UTC), datetime(*end, 1, tzinfo=UTC))
    assert found.complete == (found.end <= NOW)


@pytest.mark.parametrize(
    "name", ["2026-13", "2026-00", "2026-3", "26-03", "2026-03-01", "", "2026_03", "1999-12", "2026-05", "٢٠٢٦-٠٣"]
)
def test_another_form_or_a_month_to_come_is_refused(name: str) -> None:
    with pytest.raises(InvalidError) as refused:
        period(name, NOW)
    assert refused.value.code == "invalid_month"


def test_a_statement_that_does_not_add_up_is_not_issued() -> None:
    SECTION.require_sound()
    for wrong in (replace(SECTION, closing_nano=25_998_625_001), replace(SECTION, lines=[TOP_UP])):
        with pytest.raises(StatementError) as refused:
            wrong.require_sound()
        assert (refused.value.status, refused.value.code) == (500, "statement_does_not_add_up")


def test_totals_name_every_kind_that_moved() -> None:
    assert SECTION.totals == {"top_up": 25_000_000_000, "charge": -1_375_000}
    odd = replace(SECTION, lines=[replace(TOP_UP, kind="something_new")])
    assert odd.totals == {"something_new": 25_000_000_000}


def test_what_came_in_and_paid_a_debt_is_two_lines() -> None:
    (full, repaid) = other_lines([row("topup", credit=10, debit=4, idem_key="topup:bank:p:1")])
    assert (full.kind, full.nano, full.reference) == ("top_up", 10, "bank:p:1")
    assert (repaid.kind, repaid.nano) == ("debt_repaid", -4)
    assert [line.nano for line in other_lines([row("run_close", credit=9, debit=2, budget=12, run_id="r")])] == [9, -2]
    (paid,) = other_lines([row("run_close", debit=2, budget=12, run_id="r")])
    assert (paid.kind, paid.nano, paid.run_id) == ("run_return", -2, "r")


@pytest.mark.parametrize(
    ("credit", "debit", "said"),
    [
        (UNIT // 2, 0, "1.50 of 2.00 spent"),
        (2 * UNIT, 0, "0.00 of 2.00 spent"),
        (UNIT // 2, UNIT // 4, "1.50 of 2.00 spent"),  # of what came back, a part paid what the bucket owed
        (0, UNIT // 4, "2.25 of 2.00 spent"),  # the bucket paid what went beyond the reserve
    ],
)
def test_what_a_run_returns_says_what_it_spent(credit: int, debit: int, said: str) -> None:
    line, *_ = other_lines([row("run_close", credit=credit, debit=debit, budget=2 * UNIT, run_id="r")])
    assert (line.kind, line.text) == ("run_return", said)


def test_what_went_out_is_one_line() -> None:
    lines = other_lines(
        [
            row("chargeback", debit=7, dispute_id="d", reason="fraud", owed_nano=3),
            row("adjustment", debit=5, reason="a slip"),
            row("adjustment", credit=6, reason="goodwill"),
            row("run_open", debit=8, run_id="r"),
            row("credit_expiry", debit=2, promotion_id="p"),
            row("promotion", credit=1, reason="welcome", expires_at="2026-06-30T00:00:00Z", promotion_id="p"),
            row("refund", credit=4, request_id="q", reason="cut short"),
            row("reinstatement", credit=7, dispute_id="d", reason="won"),
            row("chargeback", dispute_id="e", reason="all owed", owed_nano=9),
        ]
    )
    assert [(line.kind, line.nano, line.reference) for line in lines] == [
        ("chargeback", -7, "d"),
        ("adjustment", -5, ""),
        ("adjustment", 6, ""),
        ("run_earmark", -8, "r"),
        ("credit_expired", -2, "p"),
        ("promotion", 1, "p"),
        ("refund", 4, "q"),
        ("reinstatement", 7, "d"),
        ("chargeback", 0, "e"),
    ]
    assert (lines[0].owed_nano, lines[5].text) == (3, "welcome (expires 2026-06-30T00:00:00Z)")


def test_charges_say_what_was_paid_and_what_is_owed() -> None:
    found = {"day": DAY, "kind": "capture", "project_id": "p", "key_id": "k", "model": "m", "route_type": "direct"}
    (line,) = charge_lines([found | {"requests": 2, "paid": 70, "charged": 100}])
    assert (line.kind, line.nano, line.owed_nano, line.requests) == ("charge", -70, 30, 2)
    (lost,) = charge_lines([found | {"kind": "expire", "model": None, "requests": 1, "paid": 5, "charged": 5, "run": "r"}])
    assert (lost.kind, lost.model, lost.run_id) == ("charge_of_lost_request", "", "r")


CHARGE_JSON = {
    "date": "2026-03-14",
    "kind": "charge",
    "amount_nano": -1_375_000,
    "amount": "-0.001375",
    "text": "",
    "reference": "",
    "project_id": "prj_1",
    "key_id": "Q7mZk2XvB9tL",
    "key_name": "checkout-bot",
    "model": "gpt-4o",
    "route_type": "direct",
    "run_id": "",
    "requests": 3,
    "owed_nano": 5,
}


def test_json_says_everything_and_every_amount_twice() -> None:
    empty = dict.fromkeys(("project_id", "key_id", "key_name", "model", "route_type", "run_id"), "")
    top_up = {"kind": "top_up", "amount_nano": 25_000_000_000, "amount": "25.00", "text": "payment", "reference": "stripe:pi_1"}
    assert as_json(STATEMENT) == {
        "object": "statement",
        "account_id": "acc_1",
        "month": "2026-03",
        "from": "2026-03-01T00:00:00Z",
        "until": "2026-04-01T00:00:00Z",
        "complete": True,
        "generated_at": "2026-04-02T09:00:00Z",
        "buckets": [
            {
                "bucket": "credit",
                "currency": "USD",
                "opening_nano": 1_000_000_000,
                "opening": "1.00",
                "totals": [
                    {"kind": "top_up", "amount_nano": 25_000_000_000, "amount": "25.00"},
                    {"kind": "charge", "amount_nano": -1_375_000, "amount": "-0.001375"},
                ],
                "lines": [
                    {"date": "2026-03-14", "requests": 0, "owed_nano": 0} | empty | top_up,
                    CHARGE_JSON,
                ],
                "in_runs": [CHARGE_JSON | {"run_id": "run_1", "amount_nano": -7, "amount": "-0.000000007"}],
                "closing_nano": 25_998_625_000,
                "closing": "25.998625",
            }
        ],
    }


def test_every_kind_of_transaction_becomes_its_whole_line() -> None:
    day = NOW.date()
    found = [
        row("topup", credit=10, idem_key="topup:bank:p"),
        row("promotion", credit=1, reason="welcome", expires_at="2026-06-30T00:00:00Z", promotion_id="p"),
        row("refund", credit=4, request_id="q", reason="cut short", run_id=None),
        row("run_close", credit=3, budget=8, run_id="r"),
        row("something_new", debit=2),
    ]
    assert other_lines(found) == [
        Line(day=day, kind="top_up", nano=10, text="payment", reference="bank:p"),
        Line(day=day, kind="promotion", nano=1, text="welcome (expires 2026-06-30T00:00:00Z)", reference="p"),
        Line(day=day, kind="refund", nano=4, text="cut short", reference="q"),
        Line(day=day, kind="run_return", nano=3, text="0.000000005 of 0.000000008 spent", reference="r", run_id="r"),
        Line(day=day, kind="something_new", nano=-2),
    ]
    (full, repaid) = other_lines([row("run_close", credit=9, debit=2, budget=9, run_id="r")])
    assert full == Line(day=day, kind="run_return", nano=9, text="0.00 of 0.000000009 spent", reference="r", run_id="r")
    assert repaid == Line(day=day, kind="debt_repaid", nano=-2, text="paid what was owed", reference="r", run_id="r")


def test_a_charge_keeps_every_name_it_was_summed_by() -> None:
    found = {"day": DAY, "kind": "capture", "project_id": "p", "key_id": "k", "model": "m", "route_type": "direct", "run": "r"}
    found["key_name"] = "bot"
    assert charge_lines([found | {"requests": 2, "paid": 70, "charged": 100}]) == [
        Line(
            day=DAY,
            kind="charge",
            nano=-70,
            project_id="p",
            key_id="k",
            model="m",
            route_type="direct",
            run_id="r",
            requests=2,
            owed_nano=30,
            key_name="bot",
        )
    ]
    bare = dict.fromkeys(("project_id", "key_id", "model", "route_type"), None)
    assert charge_lines([{"day": DAY, "kind": "expire", "requests": 1, "paid": 5, "charged": 5} | bare]) == [
        Line(day=DAY, kind="charge_of_lost_request", nano=-5, requests=1)
    ]


def test_a_refused_statement_names_the_amounts() -> None:
    with pytest.raises(
        StatementError, match=r"^bucket credit: 1.00 \+ 25.00 is not 25.998625 USD: the statement is not issued"
    ):
        replace(SECTION, lines=[TOP_UP]).require_sound()


def test_a_refused_month_says_what_is_wrong_with_it() -> None:
    said = {"2026-3": "write the month as YYYY-MM", "2026-13": "there is no such month", "2026-05": "the month has not begun"}
    for name, why in said.items():
        with pytest.raises(InvalidError, match=f"^{why}") as refused:
            period(name, NOW)
        assert refused.value.param == "month"
    assert period("2000-01", NOW).start == datetime(2000, 1, 1, tzinfo=UTC)
    assert period("2026-04", datetime(2026, 4, 1, tzinfo=UTC)).complete is False
    assert period("2026-03", datetime(2026, 4, 1, tzinfo=UTC)).complete is True


def test_csv_adds_up_from_the_first_row_to_the_last() -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv(STATEMENT).decode())))
    assert [each["kind"] for each in rows] == ["opening_balance", "top_up", "charge", "charge", "closing_balance"]
    *before, closing = (Decimal(each["amount"] or "0") for each in rows)
    assert sum(before) == closing
    assert (rows[3]["amount"], rows[3]["in_run"], rows[2]["owed"]) == ("", "-0.000000007", "0.000000005")
    assert as_csv(STATEMENT).count(b"\r\n") == 6


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", " =1", "\uff1d1+1"])
def test_no_text_is_taken_for_a_formula(text: str) -> None:
    assert safe(text) == f"'{text}"
    section = replace(SECTION, bucket=text, lines=[replace(CHARGE, project_id=text, key_id=text, model=text, text=text)])
    rows = list(csv.reader(io.StringIO(as_csv(replace(STATEMENT, sections=[section])).decode())))
    assert {len(each) for each in rows} == {len(rows[0])}
    assert all(not cell.startswith(("=", "+", "@", "\t")) for each in rows for cell in each)
    assert safe("a=1") == "a=1"


def test_what_could_break_or_turn_a_line_is_written_out_in_csv_and_pdf() -> None:
    assert [safe(text) for text in ("\t=1", "\r=1", "a\u202eb")] == ["\\u0009=1", "\\u000d=1", "a\\u202eb"]
    assert plain("a\u202eb\x1b[1m") == "a\\u202eb\\u001b[1m"


def test_the_pdf_says_what_the_statement_says() -> None:
    text = printed(as_pdf(STATEMENT))
    for part in ("Tollbook statement 2026-03", "acc_1", "Bucket credit (USD)", "Opening balance", "1.00", "Closing balance"):
        assert part in text
    for part in ("25.998625", "gpt-4o", "prj_1", "checkout-bot", "-0.001375", "stripe:pi_1 payment", "Page 1", "run_1"):
        assert part in text


def test_the_pdf_says_on_every_page_which_bucket_goes_on() -> None:
    lines = [CHARGE] * 100
    other = replace(SECTION, bucket="wallet", currency="CNY", lines=[CHARGE], in_runs=[])
    document = as_pdf(replace(STATEMENT, sections=[replace(SECTION, lines=lines, in_runs=[]), other]))
    pages = [page.extract_text() for page in pypdf.PdfReader(io.BytesIO(document)).pages]
    assert len(pages) > 3
    for page in pages[1:]:
        assert "Bucket credit (USD), continued" in page
        assert "Model or reference" in page
    assert "continued" not in pages[0]
    assert "wallet (CNY), continued" not in "".join(pages)


def test_the_pdf_wraps_a_reference_and_cuts_none() -> None:
    reference, run = "stripe:" + "pi_3MtwBwLkdIwHu7ix28a3tqPa" * 4, "run_" + "0" * 32
    line = replace(TOP_UP, reference=reference, run_id=run, text="payment")
    text = printed(as_pdf(replace(STATEMENT, sections=[replace(SECTION, lines=[line], in_runs=[])])))
    assert run in text
    assert f"{reference}payment" in "".join(text.split())
    assert ".." not in text


def test_a_key_without_a_name_is_named_by_its_id() -> None:
    assert "Q7mZk2XvB9tL" in printed(
        as_pdf(replace(STATEMENT, sections=[replace(SECTION, lines=[replace(CHARGE, key_name="")])]))
    )


def test_the_pdf_spells_foreign_names_in_latin_letters_and_cuts_long_ones() -> None:
    named = replace(CHARGE, project_id="客户一号 Ærø", model="m" * 400)
    statement = replace(STATEMENT, account_id="счёт-7", sections=[replace(SECTION, lines=[named])])
    text = printed(as_pdf(statement))
    assert plain("客户") not in {"客户", ""}
    assert plain("Ærø café") == "Ærø café"
    assert plain("счёт-7") in text
    assert "mmm.." in text


def test_a_statement_that_is_too_long_is_not_printed() -> None:
    long = replace(STATEMENT, sections=[replace(SECTION, lines=[CHARGE] * MOST_LINES)])
    with pytest.raises(InvalidError) as refused:
        document(long, "pdf")
    assert refused.value.code == "statement_too_long"
    assert document(long, "csv").body.count(b"\n") == MOST_LINES + 4


def test_a_document_says_what_it_is() -> None:
    assert document(STATEMENT, "json").headers == {"content-type": "application/json"}
    assert document(STATEMENT, "csv").headers["content-disposition"] == 'attachment; filename="statement-2026-03.csv"'
    assert document(STATEMENT, "pdf").body.startswith(b"%PDF-")
    with pytest.raises(InvalidError):
        document(STATEMENT, "xls")


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 5)), max_size=40), st.integers(-1, 200), st.integers(0, 3))
def test_a_search_finds_the_instant_in_few_probes(steps: list[tuple[int, int]], at: int, skew: int) -> None:
    moves: list[tuple[int, datetime]] = []
    seq, minute = 0, 0
    for index, (gap, wait) in enumerate(steps):
        seq, minute = seq + gap, minute + wait
        moves.append((seq, NOW + timedelta(minutes=minute + (skew if index % 2 else 0))))
    asked = 0

    def probe(number: int) -> tuple[int, datetime] | None:
        nonlocal asked
        asked += 1
        return next((move for move in moves if move[0] >= number), None)

    instant = NOW + timedelta(minutes=at)
    found = last_before(probe, instant, seq)
    late = timedelta(minutes=skew)
    assert all(when < instant + late for number, when in moves if number <= found)
    assert all(when >= instant - late for number, when in moves if number > found)
    assert asked <= (seq + 1).bit_length() + 1
