"""Invoices as providers export them."""

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from services.console.errors import BadFileError
from services.console.reconcile.invoice import plain_model
from services.console.reconcile.invoice_file import InvoiceFile, columns_of, read_invoice
from services.console.reconcile.sample import SAMPLE

GENERIC = "id,request_id,created_at,model,prompt_tokens,completion_tokens,cost,currency\n"
GOOD = "chatcmpl-1,req_1,2026-03-14T12:00:00+00:00,gpt-4o-2024-08-06,100,20,0.00045,usd\n"


def read(tmp_path: Path, text: str, form: str = "generic", *, currency: str | None = None, **named: str) -> InvoiceFile:
    path = tmp_path / "invoice.csv"
    path.write_text(text, "utf-8")
    return read_invoice(path, columns_of(form, named, currency))


def test_a_line_of_one_reply_has_its_ids_time_tokens_and_cost(tmp_path: Path) -> None:
    invoice = read(tmp_path, GENERIC + GOOD)
    [line] = invoice.lines
    assert invoice.has_ids
    assert line.number == 2
    assert line.ids == ("chatcmpl-1", "req_1")
    assert line.at == datetime(2026, 3, 14, 12, tzinfo=UTC)
    assert (line.model, line.prompt, line.output, line.cost_nano, line.currency) == ("gpt-4o", 100, 20, 450_000, "USD")


def test_openais_usage_by_day_is_read(tmp_path: Path) -> None:
    text = (
        "start_time,end_time,start_time_iso,end_time_iso,project_id,num_model_requests,model,input_tokens,output_tokens,"
        "input_cached_tokens\n"
        "1773446400,1773532800,2026-03-14T00:00:00+00:00,2026-03-15T00:00:00+00:00,p,7,gpt-4o-2024-08-06,1000,200,300\n"
    )
    invoice = read(tmp_path, text, "openai")
    [line] = invoice.lines
    assert not invoice.has_ids
    assert (line.day, line.requests, line.model, line.prompt, line.output) == (date(2026, 3, 14), 7, "gpt-4o", 1000, 200)
    assert (line.cost_nano, line.currency) == (None, None)


def test_anthropics_usage_by_day_is_read_and_its_kinds_of_input_add_up(tmp_path: Path) -> None:
    text = (
        "usage_date_utc,model_version,api_key,workspace,usage_type,usage_input_tokens_no_cache,usage_input_tokens_cache_write_5m,"
        "usage_input_tokens_cache_write_1h,usage_input_tokens_cache_read,usage_output_tokens\n"
        "2026-03-14,claude-sonnet-4-20250514,k,w,standard,10,20,30,40,50\n"
    )
    [line] = read(tmp_path, text, "anthropic").lines
    assert (line.day, line.model, line.prompt, line.output) == (date(2026, 3, 14), "claude-sonnet-4", 100, 50)


def test_bad_rows_are_named_by_their_line_and_the_rest_is_used(tmp_path: Path) -> None:
    rows = [
        GOOD,
        "chatcmpl-2,req_2,yesterday,gpt-4o,1,1,0,usd\n",
        "chatcmpl-3,req_3,2026-03-14T12:00:00Z,gpt-4o,-5,1,0,usd\n",
        "chatcmpl-4,req_4,2026-03-14T12:00:00Z,,1,1,0,usd\n",
        "chatcmpl-5,req_5,2026-03-14T12:00:00Z,gpt-4o,1,1,NaN,usd\n",
        "chatcmpl-6,req_6,2026-03-14T12:00:00Z,gpt-4o,1,1\n",
        "chatcmpl-7,req_7,2026-03-14T12:00:00Z,gpt-4o,1,1,1e40,usd\n",
        "chatcmpl-8,req_8,2026-03-14T12:00:00Z,gpt-4o,1,1,0.1,\n",
        '"chatcmpl-\n9",req_9,2026-03-14T12:00:00Z,gpt-4o,1,1,0.1,usd\n',
    ]
    invoice = read(tmp_path, GENERIC + "".join(rows))
    assert [line.number for line in invoice.lines] == [2, 11]
    assert [number for number, _ in invoice.bad] == [3, 4, 5, 6, 7, 8, 9]
    assert [why.split(":")[0] for _, why in invoice.bad] == [
        "'yesterday' is no time",
        "'-5' is no number of tokens or requests",
        "it names no model",
        "'NaN' is no amount of money that could be billed",
        "it has more or fewer fields than the header",
        "'1e40' is no amount of money that could be billed",
        "its cost has no currency",
    ]


def test_a_file_that_names_no_model_is_refused_with_what_it_has(tmp_path: Path) -> None:
    with pytest.raises(BadFileError, match=r"no column for the model .*it has date, spend.*--column"):
        read(tmp_path, "date,spend\n2026-03-14,5\n")


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"a,b\n\x00\n"])
def test_what_is_no_csv_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "invoice.csv"
    path.write_bytes(content)
    with pytest.raises(BadFileError):
        read_invoice(path, columns_of("generic", {}, None))


def test_a_caller_may_name_columns_and_the_currency(tmp_path: Path) -> None:
    text = "When,Model Used,Tokens In,Amount\n2026-03-14,gpt-4o,5,1.5\n"
    named = {"day": "When", "model": "Model Used", "prompt": "Tokens In", "cost": "Amount"}
    [line] = read(tmp_path, text, currency="eur", **named).lines
    assert (line.model, line.prompt, line.cost_nano, line.currency) == ("gpt-4o", 5, 1_500_000_000, "EUR")
    with pytest.raises(BadFileError, match="no field 'colour'"):
        columns_of("generic", {"colour": "x"}, None)


@pytest.mark.parametrize(
    ("billed", "asked"),
    [("gpt-4o-2024-08-06", "gpt-4o"), ("claude-sonnet-4-20250514", "claude-sonnet-4"), ("gpt-4.1-mini", "gpt-4.1-mini")],
)
def test_a_snapshots_date_is_no_part_of_a_models_name(billed: str, asked: str) -> None:
    assert plain_model(billed) == asked


@pytest.mark.parametrize("form", ["openai", "anthropic", "generic"])
def test_a_column_of_ids_counts_in_every_format_and_unused_columns_are_told(tmp_path: Path, form: str) -> None:
    time = {"openai": "start_time_iso", "anthropic": "usage_date", "generic": "created_at"}[form]
    text = f"id,{time},model,cost,currency,colour\nchatcmpl-1,2026-03-14T12:00:00Z,gpt-4o,0.5,usd,red\n"
    invoice = read(tmp_path, text, form)
    assert (invoice.has_ids, invoice.lines[0].ids, invoice.unused) == (True, ("chatcmpl-1",), ("colour",))


@pytest.mark.parametrize("form", ["openai", "anthropic", "generic"])
def test_the_sample_can_be_read_whoever_the_provider_is(tmp_path: Path, form: str) -> None:
    invoice = read(tmp_path, SAMPLE, form)
    assert (len(invoice.lines), invoice.bad, invoice.unused, invoice.has_ids) == (2, [], (), True)
    days = SAMPLE.replace("id,created_at", "unread,date")
    assert not read(tmp_path, days).has_ids
