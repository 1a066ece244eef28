"""`tollbook ledger check` ends as its result says: right, wrong, or not known."""

import io
from typing import Any

import httpx
import pytest
from rich.console import Console
from typer.testing import CliRunner

from services.console import ledger_commands
from services.console.addresses import Address
from services.console.errors import FOUND_WRONG, ConsoleError
from services.console.service_client import ServiceClient
from services.console.session import Session
from services.console.terminal import Terminal

SOUND = {"name": "I1", "rule": "debits = credits", "ok": True, "violations": 0, "first": []}
WRONG = SOUND | {"ok": False, "violations": 2, "first": [{"txn": "t"}]}
UNSURE = {"name": "I11", "rule": "sealed", "ok": None, "skipped": "Kafka does not answer"}


def checked(*invariants: dict[str, Any]) -> tuple[int, BaseException | None, str]:
    """The command's exit code and exception, and what it said."""
    uncompared = [each["name"] for each in invariants if each["name"] == "I11"]
    ok = all(each["ok"] for each in invariants)
    audit = {
        "id": "1",
        "state": "done",
        "progress": "",
        "result": {"ok": ok, "uncompared": uncompared, "invariants": list(invariants), "rebuild": None},
    }
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=audit))
    said = io.StringIO()
    session = Session(
        connect=lambda name: ServiceClient(name, Address(url="http://x", token="t"), transport),
        connect_customer=lambda _: pytest.fail("no customer is asked"),
        terminal=Terminal(Console(file=said, width=200), Console(file=said, width=200)),
    )
    result = CliRunner().invoke(ledger_commands.app, ["check", "--quick"], obj=session)
    return result.exit_code, result.exception, said.getvalue()


def test_sound_books_end_with_nothing_wrong() -> None:
    assert checked(SOUND)[0] == 0


def test_a_violation_ends_with_1_also_where_the_seal_was_not_compared() -> None:
    assert checked(WRONG, UNSURE)[0] == FOUND_WRONG


def test_a_seal_that_was_not_compared_is_no_proof() -> None:
    _, error, said = checked(SOUND, UNSURE)
    assert isinstance(error, ConsoleError)
    assert (error.exit_code, "I11 was not compared" in str(error)) == (3, True)
    assert "NOT COMPARED: Kafka does not answer" in said
