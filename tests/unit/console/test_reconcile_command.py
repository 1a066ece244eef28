"""`tollbook reconcile` and `tollbook status` as a person meets them."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from services.console.addresses import Address, Addresses
from services.console.errors import BadFileError
from services.console.reconcile.command import reconcile
from services.console.reconcile.invoice_file import FIELDS
from services.console.reconcile.sample import SAMPLE
from services.console.reconcile.words import SHOWN, entry_said
from services.console.service_client import ServiceClient
from services.console.session import Session
from services.console.status_command import status
from services.console.terminal import Terminal

HEAD = "date,model,requests,prompt_tokens,completion_tokens,cost,currency\n"
NOTHING: dict[str, Any] = {"data": [], "next": None}
app = typer.Typer()
app.command()(reconcile)
app.command()(status)


class Ran:
    """A command that ran, and what it said."""

    def __init__(self, *arguments: str, connect: Callable[[str], ServiceClient] | None = None) -> None:
        said = io.StringIO()
        terminal = Terminal(Console(file=said, width=250), Console(file=said, width=250))
        session = Session(
            connect=connect or _empty, connect_customer=lambda _: pytest.fail("nobody asks edge"), terminal=terminal
        )
        done = CliRunner().invoke(app, arguments, obj=session, env={"COLUMNS": "250"})
        self.code, self.error, self.said = done.exit_code, done.exception, said.getvalue() + done.output


def _empty(name: str) -> ServiceClient:
    return _serving(name, NOTHING)


def _serving(name: str, attempts: dict[str, Any]) -> ServiceClient:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=attempts if request.url.path == "/admin/attempts" else NOTHING)

    return ServiceClient(name, Address(url="http://x", token="t"), httpx.MockTransport(answer))


def written(path: Path, *rows: str) -> str:
    """A file with those rows."""
    file = path / "usage.csv"
    file.write_text(HEAD + "".join(f"{row}\n" for row in rows), "utf-8")
    return str(file)


def test_the_sample_is_printed_alone() -> None:
    ran = Ran("reconcile", "--sample")
    assert (ran.code, ran.said) == (0, SAMPLE)


def test_the_help_lists_the_fields_that_a_column_may_be_named_for() -> None:
    assert all(field in Ran("reconcile", "--help").said for field in FIELDS)


def test_a_list_that_is_cut_says_so(tmp_path: Path) -> None:
    rows = [f"2026-03-{day:02},gpt-4o,1,100,20,0.001,USD" for day in range(1, SHOWN + 4)]
    ran = Ran("reconcile", written(tmp_path, *rows), "--provider", "acme")
    assert (ran.code, "… and 3 more: --json has all of them" in ran.said) == (1, True)


def test_a_provider_that_the_ledger_does_not_know_is_answered_with_those_that_it_does(tmp_path: Path) -> None:
    usage = dict.fromkeys(("input_tokens", "cached_input_tokens", "cache_write_tokens", "output_tokens"), 1)
    row = {"brand": "openai", "channel": "openai-main", "usage": usage}
    file = written(tmp_path, "2026-03-14,gpt-4o,1,100,20,0.001,USD")
    ran = Ran("reconcile", file, "--provider", "opnai", connect=lambda name: _serving(name, {"data": [row], "next": None}))
    assert "no attempt of the provider 'opnai'; it has attempts of openai: is --provider one of them?" in ran.said


ATTEMPT = {
    "request_id": "r1",
    "attempt": 1,
    "account_id": "a",
    "brand": "openai",
    "channel": "openai-main",
    "upstream_model": "gpt-4o",
    "started_at": "2026-03-14T08:00:00+00:00",
    "latency_ms": 5.0,
    "outcome": "succeeded",
    "error_class": None,
    "http_status": 200,
    "usage": {"input_tokens": 374, "cached_input_tokens": 0, "cache_write_tokens": 0, "output_tokens": 44},
    "usage_source": "reported",
    "operator_cost_nano": None,
    "operator_cost_currency": None,
    "upstream_id": "chatcmpl-of-ours",
    "exposure": None,
}


def test_sums_by_day_are_compared_with_the_whole_day_also_where_lines_have_instants_and_ids(tmp_path: Path) -> None:
    file = tmp_path / "usage.csv"
    file.write_text("".join(SAMPLE.splitlines(keepends=True)[:2]), "utf-8")
    served = {"data": [ATTEMPT], "next": None}
    by_reply = Ran("reconcile", str(file), "--provider", "openai", connect=lambda name: _serving(name, served))
    assert (by_reply.code, "--by day compares sums" in by_reply.said) == (1, True)
    by_day = Ran("reconcile", str(file), "--provider", "openai", "--by", "day", connect=lambda name: _serving(name, served))
    assert (by_day.code, "1 line, 1 matched by day and model" in by_day.said) == (0, True), by_day.said


def test_an_unknown_format_and_ids_that_are_not_there_are_refused_by_name(tmp_path: Path) -> None:
    file = written(tmp_path, "2026-03-14,gpt-4o,1,100,20,0.001,USD")
    assert "the formats are openai, anthropic, generic" in Ran("reconcile", file, "--provider", "x", "--format", "xls").said
    error = Ran("reconcile", file, "--provider", "x", "--by", "reply").error
    assert isinstance(error, BadFileError)
    assert "--column ids=NAME" in str(error)


def test_an_entry_is_said_in_words_and_money_in_its_currency() -> None:
    entry = {
        "day": "2026-03-14",
        "prompt_tokens": {"provider": 300, "ledger": 200},
        "cost_nano": {"provider": 1_500_000, "ledger": None},
        "ids": ["a", "b"],
        "error_class": None,
        "currency": "USD",
        "why": None,
    }
    assert entry_said(entry) == (
        "day 2026-03-14, prompt tokens 300 billed and 200 in the ledger, "
        "cost 0.0015 USD billed and nothing in the ledger, ids a b"
    )
    assert entry_said({"cost_nano": 2_000_000, "currency": "CNY"}) == "cost 0.002 CNY"


def test_a_stack_that_is_down_is_told_once() -> None:
    addresses = Addresses(urls={}, token=None, stack_file="/x/stack.json")
    ran = Ran("status", connect=lambda name: ServiceClient(name, addresses.of(name)))
    assert ran.code == 1
    assert ran.said.count("make up") == ran.said.count("/x/stack.json") == 1
    assert "--SERVICE-url or TOLLBOOK_SERVICE_URL" in ran.said
    assert all(f"nobody said where {name} is" in ran.said for name in ("edge", "router", "settlement", "analytics"))
