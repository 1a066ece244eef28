"""`tollbook alerts backtest`: what would have fired, in words and units that people read."""

import io
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from services.console.addresses import Address
from services.console.backtest_command import backtest
from services.console.service_client import ServiceClient
from services.console.session import Session
from services.console.terminal import Terminal

TOKENS = {
    **{"rule": "runaway", "signal": "tokens_per_minute_by_key", "subject_kind": "key", "subject_id": "k1", "account_id": "a1"},
    **{"severity": "page", "action": "freeze_key", "fired_at": "2026-01-01T10:00:00Z", "ended_at": None},
    **{"observed": 1_234_567.0, "baseline": None, "threshold": 60_000.0, "unit": "tokens/min"},
}
SPEND = {**TOKENS, "rule": "spend", "unit": "nano USD", "observed": 12_340_000_000.0, "action": "none"}
SHARE = {**TOKENS, "rule": "errors", "unit": "share", "observed": 0.42, "baseline": 0.01, "ended_at": "2026-01-01T11:00:00Z"}
FOUND = {"minutes": 3, "fired": {"runaway": 1, "quiet": 0}, "truncated": True, "alerts": [TOKENS, SPEND, SHARE]}


def ran(file: Path, *arguments: str) -> tuple[int, str, list[httpx.Request]]:
    """The command's exit status, what it said, and what it sent."""
    sent: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(200, json=FOUND)

    said = io.StringIO()
    terminal = Terminal(Console(file=said, width=250), Console(file=io.StringIO(), width=250))
    session = Session(
        connect=lambda name: ServiceClient(name, Address(url="http://x", token="t"), httpx.MockTransport(answer)),
        connect_customer=lambda _: pytest.fail("no customer is asked"),
        terminal=terminal,
    )
    app = typer.Typer()
    app.command()(backtest)
    done = CliRunner().invoke(app, [str(file), *arguments], obj=session, env={"COLUMNS": "250"})
    return done.exit_code, said.getvalue() + done.output, sent


def test_what_would_have_fired_is_shown_in_units_that_people_read(tmp_path: Path) -> None:
    file = tmp_path / "alerts.yaml"
    file.write_text("rules: []")
    code, said, sent = ran(file, "--from", "2026-01-01", "--to", "2026-01-02")
    assert code == 0
    for words in (
        "1,234,567",
        "60,000",
        "unknown",
        "12.34",
        "USD",
        "42%",
        "not yet",
        "page, freeze_key",
        "quiet: 0 would have",
    ):
        assert words in said
    assert "Only the first" in said
    asked: dict[str, Any] = dict(sent[0].url.params)
    assert (sent[0].method, sent[0].url.path, sent[0].content) == ("POST", "/admin/alert-rules/backtest", b"rules: []")
    assert asked["from"].startswith("2026-01-01")
    assert asked["to"].startswith("2026-01-02")


def test_programs_get_what_analytics_said(tmp_path: Path) -> None:
    file = tmp_path / "alerts.yaml"
    file.write_text("rules: []")
    assert '"truncated":' in ran(file, "--json")[1].replace(" ", "")
