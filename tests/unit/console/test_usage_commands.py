"""`tollbook usage …` as a person meets it."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from services.console.addresses import Address
from services.console.entities import usage_commands
from services.console.errors import ConsoleError, UnknownAddressError
from services.console.service_client import ServiceClient
from services.console.session import Session
from services.console.spoken import SpokenError
from services.console.terminal import Terminal

app = typer.Typer()
app.add_typer(usage_commands.app, name="usage")
ACCOUNT = "acc_0123456789abcdef"
SHEET = b"model,requests,cost_USD\r\na,3,0.5\r\n"
COUNTS = (
    "requests", "failed", "attempts", "fallbacks", "input_tokens", "cached_input_tokens", "cache_write_tokens",
    "output_tokens", "reasoning_tokens", "burned_tokens",
)  # fmt: skip


def counted(requests: int, **costs: str) -> dict[str, Any]:
    figures: dict[str, Any] = dict.fromkeys(COUNTS, 0) | {"requests": requests, "input_tokens": 10 * requests}
    return figures | {"costs": [{"currency": name, "cost": cost, "cost_nano": 1} for name, cost in costs.items()]}


def page(data: list[dict[str, Any]], after: str | None) -> dict[str, Any]:
    head = {"object": "usage", "from": "2026-11-01T00:00:00Z", "to": "2026-12-01T00:00:00Z", "timezone": "UTC"}
    rest = {"interval": "none", "by": ["key", "model"], "totals": counted(5, USD="1.5", CNY="2"), "next_after": after}
    return {**head, **rest, "data": data}


FIRST = {"key_id": "k1", "key_name": "bot", "model": "a", **counted(3, USD="0.5")}
SECOND = {"key_id": "k2", "key_name": "", "model": "b", **counted(2, USD="1", CNY="2")}


class Cut(httpx.SyncByteStream):
    """A sheet that breaks off."""

    def __iter__(self) -> Iterator[bytes]:
        yield SHEET[:20]
        raise httpx.RemoteProtocolError("peer closed connection without sending complete message body")


class Ran:
    """A command that ran: what it said and what it asked."""

    def __init__(self, *arguments: str, key: str | None = None, cut: bool = False) -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []

        def answer(request: httpx.Request) -> httpx.Response:
            asked = dict(request.url.params)
            self.asked.append((f"{request.url.host}{request.url.path}", asked))
            if request.url.path.startswith("/admin/accounts"):
                return httpx.Response(200, json={"account_id": ACCOUNT, "name": "acme"})
            if asked.get("format") == "csv":
                return httpx.Response(200, stream=Cut()) if cut else httpx.Response(200, content=SHEET)
            return httpx.Response(200, json=page([SECOND], None) if "after" in asked else page([FIRST], "next"))

        def connect(name: str, token: str = "t") -> ServiceClient:
            return ServiceClient(name, Address(url=f"http://{name}", token=token), httpx.MockTransport(answer))

        def customer(given: str | None) -> ServiceClient:
            if (given or key) is None:
                raise UnknownAddressError("nobody gave a key")
            return connect("edge", given or key or "")

        out, err = io.StringIO(), io.StringIO()
        session = Session(
            connect=connect,
            connect_customer=customer,
            terminal=Terminal(Console(file=out, width=250), Console(file=err, width=250)),
            account=lambda: ACCOUNT,
        )
        done = CliRunner().invoke(app, arguments, obj=session, env={"COLUMNS": "250"})
        self.code, self.error, self.out, self.err = done.exit_code, done.exception, out.getvalue(), err.getvalue()
        self.raw = done.stdout_bytes


def test_a_report_shows_every_page_and_the_totals_with_currencies_apart() -> None:
    done = Ran("usage", "report", "--by", "key,model", "--from", "2026-11-01", key="k")
    assert [path for path, _ in done.asked] == ["edge/v1/usage", "edge/v1/usage"]
    assert done.asked[0][1] == {"from": "2026-11-01", "timezone": "UTC", "by": "key,model", "interval": "none", "limit": "1000"}
    assert done.asked[1][1]["after"] == "next"
    lines = [" ".join(line.split()) for line in done.out.splitlines()]
    assert lines == [
        "key model requests failed attempts fallbacks input output USD CNY",
        "k1 (bot) a 3 0 0 0 30 0 0.5",
        "k2 b 2 0 0 0 20 0 1 2",
        "total 5 0 0 0 50 0 1.5 2",
    ]


def test_a_report_that_is_longer_than_its_limit_says_so() -> None:
    done = Ran("usage", "report", "--limit", "1", key="k")
    assert len(done.asked) == 1
    assert "there are more rows" in done.err


def test_an_operator_asks_analytics_about_an_account_or_about_all() -> None:
    done = Ran("usage", "report", "--account", ACCOUNT, "--by", "channel", "--tag", "a=1")
    assert [path for path, _ in done.asked][-1] == "analytics/admin/usage"
    assert done.asked[-1][1].items() >= {"account_id": ACCOUNT, "by": "channel", "tag": "a=1"}.items()
    assert "account_id" not in Ran("usage", "report", "--all-accounts", "--by", "account").asked[0][1]
    assert Ran("usage", "report").asked[0][1]["account_id"] == ACCOUNT, "without a key it is the profile's account"


@pytest.mark.parametrize(
    "arguments",
    [("--account", "a", "--all-accounts"), ("--json", "--csv"), ("--all-accounts", "--api-key", "k")],
)
def test_what_does_not_go_together_is_refused(arguments: tuple[str, ...]) -> None:
    done = Ran("usage", "report", *arguments)
    assert isinstance(done.error, SpokenError)


def test_a_sheet_goes_to_standard_output_as_it_is() -> None:
    done = Ran("usage", "report", "--csv", key="k")
    assert (done.code, done.raw) == (0, SHEET)
    assert done.asked[0][1]["format"] == "csv"
    assert next(csv.DictReader(io.StringIO(done.raw.decode(), newline="")))["cost_USD"] == "0.5"


def test_a_file_is_whole_or_is_not_there(tmp_path: Path) -> None:
    file = tmp_path / "usage.csv"
    cut = Ran("usage", "report", "--output", str(file), key="k", cut=True)
    assert isinstance(cut.error, ConsoleError)
    assert "not whole" in str(cut.error)
    assert list(tmp_path.iterdir()) == []
    assert Ran("usage", "report", "--output", str(file), key="k").code == 0
    assert (file.read_bytes(), list(tmp_path.iterdir())) == (SHEET, [file])


def test_a_file_of_before_stays_where_the_new_one_is_cut(tmp_path: Path) -> None:
    file = tmp_path / "usage.csv"
    file.write_bytes(b"before")
    Ran("usage", "report", "-o", str(file), key="k", cut=True)
    assert file.read_bytes() == b"before"


@pytest.mark.parametrize("arguments", [["usage", "--help"], ["usage", "report", "--help"], ["usage", "month", "--help"]])
def test_the_commands_are_told_apart(arguments: list[str]) -> None:
    assert CliRunner().invoke(app, arguments).exit_code == 0
    assert "report" in CliRunner().invoke(app, ["usage", "--help"]).output


@pytest.mark.parametrize("arguments", [["usage"], ["usage", "2026-11"], ["usage", "--by", "nothing"]])
def test_without_a_command_it_is_the_month(arguments: list[str]) -> None:
    told = Ran(*arguments, *([] if "--by" in arguments else ["--by", "nothing"]))
    assert isinstance(told.error, SpokenError)
    assert "--by 'nothing': write one or more of key, project, model, day, run, route" in str(told.error)
