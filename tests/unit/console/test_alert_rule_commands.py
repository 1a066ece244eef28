"""`tollbook alerts rules` as a person meets it: what is shown before anything changes, and what is sent."""

import io
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console
from typer.testing import CliRunner

from services.console import alert_rule_commands
from services.console.addresses import Address
from services.console.errors import BadFileError
from services.console.service_client import ServiceClient
from services.console.session import Session
from services.console.terminal import Terminal

FIELDS = {"floor": {"before": 60000, "after": 70000}, "runbook": {"before": None, "after": "look"}}
DIFF = {"version": 3, "changes": [{"change": "changed", "kind": "rule", "id": "runaway", "fields": FIELDS}]}
RULE = {
    **{"id": "runaway", "signal": "tokens_per_minute_by_key", "severity": "page", "floor": 60000, "for": "0s", "keep": "120s"},
    **{"action": "none", "notify": ["ops"], "overrides": [], "enabled": True},
}
SPEND = {**RULE, "id": "spend", "floor": {"USD": "5", "CNY": "35"}, "enabled": False}
IN_FORCE = {
    **{"version": 3, "applied_at": "2026-01-01T00:00:00Z", "author": "ann", "sha256": "ab" * 32, "file": "rules: [] # mine\n"},
    "rules": {"receivers": {"ops": {"kind": "slack"}}, "rules": [RULE, SPEND]},
}
REPLIES: dict[str, Any] = {
    "/admin/alert-rules/diff": DIFF,
    "/admin/alert-rules": {**IN_FORCE, "version": 3},
    "/admin/alert-rules/versions": {"object": "list", "data": [IN_FORCE], "next_after": None},
    "/admin/alert-rules/versions/2": {**IN_FORCE, "version": 2},
}


class Ran:
    """A command that ran: what it said, and what it sent."""

    def __init__(self, *arguments: str, answers: dict[str, Any] | None = None) -> None:
        self.sent: list[httpx.Request] = []

        def answer(request: httpx.Request) -> httpx.Response:
            self.sent.append(request)
            if request.method == "PUT":
                return httpx.Response(200, json={"version": 4, "new": True})
            return httpx.Response(200, json={**REPLIES, **(answers or {})}[request.url.path])

        said = io.StringIO()
        terminal = Terminal(Console(file=said, width=250), Console(file=said, width=250))
        session = Session(
            connect=lambda name: ServiceClient(name, Address(url="http://x", token="t"), httpx.MockTransport(answer)),
            connect_customer=lambda _: pytest.fail("no customer is asked"),
            terminal=terminal,
        )
        done = CliRunner().invoke(alert_rule_commands.app, arguments, obj=session, env={"COLUMNS": "250"})
        self.code, self.error, self.said = done.exit_code, done.exception, said.getvalue() + done.output


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "alerts.yaml"
    path.write_text('rules: []\n# "${env:SLACK_WEBHOOK_URL}" stays as it is\n')
    return str(path)


def test_applying_shows_what_changes_and_replaces_only_the_version_that_it_was_compared_with(file: str) -> None:
    ran = Ran("apply", file, "--yes")
    assert (ran.code, ran.error) == (0, None)
    assert "floor: 60000 -> 70000" in ran.said
    assert "runbook: nothing" in ran.said
    assert "version 4 is in force" in ran.said
    put = ran.sent[-1]
    assert (put.method, put.url.params["expected_version"]) == ("PUT", "3")
    assert put.content == Path(file).read_bytes()


def test_nobody_is_asked_where_there_is_nobody(file: str) -> None:
    ran = Ran("apply", file)
    assert isinstance(ran.error, BadFileError)
    assert [request.method for request in ran.sent] == ["POST"]


def test_a_diff_can_end_with_one_and_says_when_nothing_changes(file: str) -> None:
    assert Ran("diff", file, "--exit-code").code == 1
    same = Ran("diff", file, "--exit-code", answers={"/admin/alert-rules/diff": {"version": 3, "changes": []}})
    assert (same.code, "nothing changes" in same.said) == (0, True)


def test_rules_are_shown_with_their_floors_and_receivers() -> None:
    said = Ran("show").said
    assert "5 USD 35 CNY" in said
    assert "spend (off)" in said
    assert "receiver ops: slack" in said
    assert "apply deploy/catalog/alerts.yaml" in Ran("show", answers={"/admin/alert-rules": {**IN_FORCE, "version": 0}}).said


def test_a_version_is_exported_as_it_was_applied(tmp_path: Path) -> None:
    assert Ran("export").said == "rules: [] # mine\n"
    assert Ran("export", "--version", "2", "--output", str(tmp_path / "a.yaml")).code == 0
    assert (tmp_path / "a.yaml").read_text() == "rules: [] # mine\n"
    assert "abababababab" in Ran("versions").said
