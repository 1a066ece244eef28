"""`tollbook fx` and `tollbook margin` as a person meets them."""

import io
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from services.console import fx_commands
from services.console.addresses import Address
from services.console.errors import BadFileError, NobodyAskedError
from services.console.margin_command import margin
from services.console.service_client import ServiceClient
from services.console.session import Session
from services.console.terminal import Terminal

app = typer.Typer()
app.add_typer(fx_commands.app, name="fx")
app.command()(margin)
RATE = {"from": "CNY", "to": "USD", "date": "2026-03-14", "rate": "0.14", "source": "bank"}
FIGURES = {
    "requests": 2,
    "charged": "10.00",
    "refunded": "1.00",
    "cost": "4.50",
    "margin": "4.50",
    "margin_percent": "50.00",
    "uncosted": "0.00",
}
LEFT = {
    "key": "=b",
    "date": "2026-03-14",
    "currency": "EUR",
    "requests": 1,
    "charged": "5.00",
    "refunded": "0.00",
    "cost": "0.00",
    "uncosted": "5.00",
}
REPORT = {
    "by": "account",
    "currency": "USD",
    "data": [{"key": "a", **FIGURES}],
    "total": FIGURES,
    "unconverted": [LEFT],
    "rates": [],
}


class Ran:
    """A command that ran: what it said and what it sent."""

    def __init__(self, *arguments: str) -> None:
        self.sent: list[httpx.Request] = []

        def answer(request: httpx.Request) -> httpx.Response:
            self.sent.append(request)
            if request.url.path == "/admin/reports/margin":
                return httpx.Response(200, json=REPORT)
            if request.method == "POST":
                return httpx.Response(200, json={"set": len(json.loads(request.content)["rates"]), "unchanged": 0})
            row = {**RATE, "id": 1, "author": "ann", "set_at": "2026-03-14T00:00:00Z", "superseded_at": None}
            return httpx.Response(200, json={"object": "list", "data": [row], "next_after": None})

        out, err = io.StringIO(), io.StringIO()
        session = Session(
            connect=lambda name: ServiceClient(name, Address(url="http://x", token="t"), httpx.MockTransport(answer)),
            connect_customer=lambda _: pytest.fail("no customer is asked"),
            terminal=Terminal(Console(file=out, width=250), Console(file=err, width=250)),
        )
        done = CliRunner().invoke(app, arguments, obj=session, env={"USER": "ann", "COLUMNS": "250"})
        self.code, self.error, self.out = done.exit_code, done.exception, out.getvalue()

    def body(self) -> Any:
        return json.loads(self.sent[0].content)


def test_a_rate_is_set_with_its_day_and_source() -> None:
    done = Ran("fx", "set", "CNY", "USD", "0.14", "--date", "2026-03-14", "--source", "bank")
    assert (done.code, done.out) == (0, "1 CNY = 0.14 USD on 2026-03-14: set\n")
    assert done.body() == {"rates": [RATE], "author": "ann"}


def test_what_is_exported_is_imported_again(tmp_path: Path) -> None:
    exported = Ran("fx", "export")
    assert exported.out == "from,to,date,rate,source\nCNY,USD,2026-03-14,0.14,bank\n"
    file = tmp_path / "rates.csv"
    file.write_text(exported.out, "utf-8")
    assert Ran("fx", "import", str(file), "--yes").body()["rates"] == [RATE]
    assert isinstance(Ran("fx", "import", str(file)).error, NobodyAskedError)


def test_a_file_without_sources_takes_the_one_that_is_named(tmp_path: Path) -> None:
    file = tmp_path / "rates.csv"
    file.write_text("date,from,to,rate\n2026-03-14,CNY,USD,0.14\n", "utf-8")
    assert Ran("fx", "import", str(file), "--yes", "--source", "bank").body()["rates"] == [RATE]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("from,to,date,rate\n", "line 1: the columns source are missing"),
        ("", "line 1: the columns from, to, date, rate, source are missing"),
        ("from,to,date,rate,source\nCNY,USD,2026-03-14,,bank\n", "line 2: rate is empty"),
        ("from,to,date,rate,source\nCNY,USD,2026-03-14,1,bank,more\n", "line 2: has more fields"),
        ('from,to,date,rate,source\nCNY,USD,2026-03-14,1,bank\n"\n', "line 3: unexpected end of data"),
    ],
)
def test_a_file_that_means_nothing_is_refused_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "rates.csv"
    file.write_text(text, "utf-8")
    done = Ran("fx", "import", str(file), "--yes")
    assert isinstance(done.error, BadFileError)
    assert said in str(done.error)
    assert done.sent == []


def test_margins_are_shown_with_their_total_and_with_what_was_not_converted() -> None:
    done = Ran("margin", "--from", "2026-03-01", "--to", "2026-03-31", "--by", "account")
    assert dict(done.sent[0].url.params) == {"from": "2026-03-01", "to": "2026-03-31", "by": "account", "currency": "USD"}
    lines = [line.split() for line in done.out.splitlines()]
    assert ["a", "2", "10.00", "1.00", "4.50", "4.50", "50.00", "0.00"] in lines
    assert ["total", "2", "10.00", "1.00", "4.50", "4.50", "50.00", "0.00"] in lines
    assert "not converted: =b on 2026-03-14: charged 5.00, refunded 0.00, cost 0.00 EUR" in done.out


def test_margins_as_csv_have_every_row_in_its_currency_and_no_formula() -> None:
    assert Ran("margin", "--csv").out.splitlines() == [
        "key,date,currency,requests,charged,refunded,cost,margin,margin_percent,uncosted",
        "a,,USD,2,10.00,1.00,4.50,4.50,50.00,0.00",
        "'=b,2026-03-14,EUR,1,5.00,0.00,0.00,,,5.00",
    ]
    assert json.loads(Ran("margin", "--json").out) == REPORT


def test_a_report_without_days_is_of_the_last_thirty() -> None:
    params = Ran("margin", "--to", "2026-03-31").sent[0].url.params
    assert params["from"] == "2026-03-01"
    assert Ran("margin", "--to", "March").code == 2
