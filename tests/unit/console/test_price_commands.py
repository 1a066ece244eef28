"""`tollbook prices` as a person meets it: what is shown before anything changes, and what is sent."""

import io
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console
from typer.testing import CliRunner

from schemas.envelope import now
from services.console import price_commands
from services.console.addresses import Address
from services.console.errors import NobodyAskedError, RefusedError
from services.console.price_routes import mismatches, worth_saying
from services.console.service_client import ServiceClient
from services.console.session import Session
from services.console.terminal import Terminal

FILE = """
buckets: [{id: credit, currency: USD, route_types: [direct]}]
prices:
  - {route_type: direct, model: gpt-4o, currency: USD, input: "2.5", output: "11"}
"""
CHANGED = {
    "kind": "price",
    "id": "direct gpt-4o",
    "change": "changed",
    "fields": {"output": {"before": "10.00", "after": "11.00"}},
}
DIFF = {"version": 3, "same": False, "changes": [CHANGED], "warnings": [], "effective_from": None, "scheduled": []}
PUBLISHED = {"version": 4, "status": "in_force", "in_force_from": "2026-01-01T00:00:00Z"}
TABLE = {
    "channels": [{"id": "main", "route_type": "direct"}, {"id": "pool", "route_type": "pooled"}],
    "models": [
        {"id": "gpt-4o", "candidates": [{"channel": "main", "upstream_model": "gpt-4o"}]},
        {
            "id": "other",
            "candidates": [{"channel": "pool", "upstream_model": "other-1"}, {"channel": "gone", "upstream_model": "x"}],
        },
    ],
}


class Ran:
    """A command that ran: what it said, and what it sent to settlement."""

    def __init__(self, *arguments: str, answers: dict[str, Any] | None = None, status: int = 200) -> None:
        self.sent: list[httpx.Request] = []
        replies = {"/admin/price-books/diff": DIFF, "/admin/price-books": PUBLISHED, **(answers or {})}

        def answer(request: httpx.Request) -> httpx.Response:
            if request.url.path == "/admin/routes/export":
                return httpx.Response(200, json={"version": 1, "table": TABLE})
            self.sent.append(request)
            return httpx.Response(status, json=replies[request.url.path])

        said = io.StringIO()
        terminal = Terminal(Console(file=said, width=250), Console(file=said, width=250))
        session = Session(
            connect=lambda name: ServiceClient(name, Address(url="http://x", token="t"), httpx.MockTransport(answer)),
            connect_customer=lambda _: pytest.fail("no customer is asked"),
            terminal=terminal,
        )
        done = CliRunner().invoke(price_commands.app, arguments, obj=session, env={"USER": "ann", "COLUMNS": "250"})
        self.code, self.error, self.said = done.exit_code, done.exception, said.getvalue() + done.output


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "prices.yaml"
    path.write_text(FILE, "utf-8")
    return str(path)


def test_a_file_is_shown_beside_what_it_replaces_and_beside_the_routes(file: str) -> None:
    done = Ran("diff", file, "--exit-code")
    assert done.code == 1
    assert "changed price direct gpt-4o\n  output: 10.00 -> 11.00" in done.said
    assert "look twice: other-1 on pooled has no price: other cannot be asked for there" in done.said
    assert [request.url.path for request in done.sent] == ["/admin/price-books/diff"]


def test_nothing_is_published_without_a_yes(file: str) -> None:
    done = Ran("apply", file)
    assert isinstance(done.error, NobodyAskedError)
    assert [request.url.path for request in done.sent] == ["/admin/price-books/diff"]


def test_a_file_is_published_in_place_of_the_version_that_it_was_compared_with(file: str) -> None:
    done = Ran("apply", file, "--yes", "--effective-from", "2026-02-01")
    assert (done.code, "version 4 is in force" in done.said) == (0, True)
    query = {"effective_from": "2026-02-01", "expected_version": "3", "author": "ann"}
    assert dict(done.sent[1].url.params) == query
    assert done.sent[1].content.decode() == FILE


@pytest.mark.parametrize(("said", "ahead"), [("15m", 900), ("2h", 7200), ("1d", 86_400)])
def test_a_duration_is_counted_from_now_once_for_comparing_and_publishing(file: str, said: str, ahead: int) -> None:
    before = now().replace(microsecond=0)
    done = Ran("apply", file, "--yes", "--effective-from", said)
    compared, published = (request.url.params["effective_from"] for request in done.sent)
    assert compared == published
    assert before <= datetime.fromisoformat(published) - timedelta(seconds=ahead) <= now()


def test_prices_that_nothing_asks_for_are_named_where_they_change_and_counted_where_not() -> None:
    prices = [{"route_type": "pooled", "model": name} for name in ("other-1", "one", "two", "three")]
    assert worth_saying(prices, TABLE, {"pooled one"}) == [
        "gpt-4o on direct has no price: gpt-4o cannot be asked for there (`no_price`)",
        "one on pooled has a price, and no route asks for it: is the name right?",
        "2 prices that do not change are of models that no route asks for (--json names them)",
    ]
    assert len(mismatches(prices, TABLE)) == 4


def test_every_mistake_of_a_file_is_said_on_a_line_of_its_own(file: str) -> None:
    problems = [{"line": 4, "column": 7, "reason": "this"}, {"line": 9, "column": 1, "reason": "that"}]
    error = {"error": {"message": "line 4, column 7: this (and 1 more)", "code": "invalid_price_book", "problems": problems}}
    done = Ran("apply", file, "--yes", answers={"/admin/price-books/diff": error}, status=422)
    assert isinstance(done.error, RefusedError)
    assert str(done.error).endswith("(and 1 more)\n  line 4, column 7: this\n  line 9, column 1: that")


def test_versions_are_compared_without_a_file() -> None:
    done = Ran("diff", "--beside", "3", "--to", "4", "--json")
    assert (done.code, dict(done.sent[0].url.params)) == (0, {"before": "3", "after": "4"})
    assert Ran("diff").code == 2
    assert Ran("diff", "--to", "4").code == 2


def test_a_price_and_a_route_are_matched_by_route_type_and_upstream_model() -> None:
    prices = [{"route_type": "pooled", "model": "gpt-4o"}, {"route_type": "pooled", "model": "other-1"}]
    assert mismatches(prices, TABLE) == [
        "gpt-4o on direct has no price: gpt-4o cannot be asked for there (`no_price`)",
        "gpt-4o on pooled has a price, and no route asks for it: is the name right?",
    ]
