"""The operator's command line on a whole stack with a rough past: audit, rebuild, cases, dead letters, a provider's invoice."""

import asyncio
import csv
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiokafka import AIOKafkaProducer

from deploy.local.home import read_json
from deploy.local.stack import Stack
from deploy.local.traffic import Size
from schemas import topics
from tests.e2e import books
from tests.e2e.driver import Driver, chat_body

pytestmark = pytest.mark.stack

CHECKOUT = Path(__file__).parent.parent.parent
SETTINGS = {
    "TOLLBOOK_REQUEST_DEADLINE_SECONDS": "15",
    "TOLLBOOK_HOLD_GRACE_SECONDS": "2",
    "TOLLBOOK_UPSTREAM_FIRST_BYTE_TIMEOUT_SECONDS": "1.5",
}
CHANNEL = "openai-main"
SIZE = Size(200, 30)
BILLED_FAULTS: list[dict[str, Any]] = [
    {"kind": "timeout", "billed": True},
    {"kind": "refuse", "billed": True},
    {"kind": "burned", "billed": True},
    {"kind": "cut", "billed": True},
    {"kind": "500"},
]
"""What goes wrong on the channel; of all but the last the provider bills the whole request."""


@dataclass(frozen=True)
class Ran:
    """What a command said and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Told:
    """The stack, and what was done to it."""

    stack: dict[str, Any]
    home: Path
    charged: int
    poison: dict[str, Any]

    def tollbook(self, *arguments: str, **environment: str) -> Ran:
        """Run a command as an operator does: the stack's own file says where everything is."""
        told = os.environ | {"TOLLBOOK_HOME": str(self.home), "COLUMNS": "300", "TOLLBOOK_AUTHOR": "ada"} | environment
        done = subprocess.run(
            [sys.executable, "-m", "services.console", *arguments],
            cwd=CHECKOUT,
            env=told,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def told() -> Iterator[Told]:
    """A stack of its own, since what is done to it would break the other tests' accounts of theirs."""
    with tempfile.TemporaryDirectory(prefix="tollbook-audit-", ignore_cleanup_errors=True) as home:
        stack = Stack(Path(home), environ=os.environ | SETTINGS, fixed_ports=False)
        try:
            stack.up()
            yield asyncio.run(live(read_json(stack.home.stack_file), Path(home)))
        finally:
            stack.clean()


async def live(described: dict[str, Any], home: Path) -> Told:
    """Traffic with every kind of fault, one request that costs more than its hold, and one record that nobody can use."""
    async with Driver(described) as driver:
        customer = await driver.customer(main={"models": ["*"], "route_types": ["direct"]})
        await driver.top_up(customer.account_id, "credit", "50")
        key = customer.keys["main"]
        plain, streamed = chat_body("gpt-4o", SIZE), chat_body("gpt-4o", SIZE, stream=True)
        replies = [await driver.chat(key, body) for body in (plain, streamed) * 3]
        for fault in BILLED_FAULTS:
            await driver.faults(CHANNEL, [fault])
            replies.append(await driver.chat(key, chat_body("gpt-4o", SIZE)))
        over = chat_body("gpt-4o", SIZE)
        over["metadata"]["sim_input_tokens"] = "90000"
        replies.append(await driver.chat(key, over))
        assert [reply.status for reply in replies] == [200] * len(replies)
        await books.settled(driver)
        kafka = await books.loaded(driver)
        events = kafka[topics.ATTEMPTS].events.values()
        real = next(event for event in events if event["type"] == "RequestCompleted")
        # A version that settlement does not know yet, and that ClickHouse takes as it is.
        poison = {**real, "event_id": "01981c3e-0000-7000-8000-000000000001", "version": 2}
        poison["request_id"] = "01981c3e-0000-7000-8000-000000000002"
        await publish(described["kafka_bootstrap_servers"], poison)
        await books.loaded(driver)
        await books.settled(driver)
        return Told(described, home, len(replies), poison)


async def publish(bootstrap_servers: str, event: dict[str, Any]) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap_servers, acks="all", enable_idempotence=True)
    await producer.start()
    try:
        key, value = event["account_id"].encode(), json.dumps(event).encode()
        await producer.send_and_wait(topics.ATTEMPTS, value, key=key, headers=[("type", event["type"].encode())])
    finally:
        await producer.stop()


def test_every_service_is_found_by_the_stacks_own_file(told: Told) -> None:
    ran = told.tollbook("status", "--json")
    assert (ran.code, {row["ready"] for row in ran.json["data"]}) == (0, {True}), ran


def test_all_fourteen_invariants_hold_and_are_said_one_to_a_line(told: Told) -> None:
    ran = told.tollbook("ledger", "check")
    assert ran.code == 0, ran
    lines = ran.out.splitlines()
    assert [line.split()[0] for line in lines] == [f"I{number}" for number in range(1, 15)]
    assert all(line.endswith(": ok") for line in lines), ran.out


def test_the_books_are_rebuilt_to_the_last_unit(told: Told) -> None:
    ran = told.tollbook("ledger", "rebuild", "--json")
    assert ran.code == 0, ran
    report = ran.json["result"]["rebuild"]
    assert report["counts"]["completions"] >= told.charged
    assert {part["count"] for part in report["differences"].values()} == {0}
    assert report["findings"] == {}


def test_a_quick_check_says_what_it_leaves_out(told: Told) -> None:
    ran = told.tollbook("ledger", "check", "--quick", "--json")
    skipped = {line["name"] for line in ran.json["result"]["invariants"] if line["ok"] is None}
    assert (ran.code, skipped) == (0, {"I12", "I14"})


def test_a_case_is_shown_assigned_and_closed_by_somebody(told: Told) -> None:
    [case] = told.tollbook("ledger", "cases", "list", "--kind", "overrun", "--json").json["data"]
    assert (case["owner"], case["overdue"]) == ("billing", False)
    assert told.tollbook("ledger", "cases", "assign", case["id"], "grace").code == 0
    close = ("ledger", "cases", "close", case["id"], "--resolution", "the provider counts images otherwise", "--json")
    closed = told.tollbook(*close).json
    assert (closed["owner"], closed["closed_by"]) == ("grace", "ada")
    assert told.tollbook(*close).json["closed_at"] == closed["closed_at"], "closing again changes nothing"
    refused = told.tollbook(*close, TOLLBOOK_AUTHOR="eve")
    assert (refused.code, "closed by ada" in refused.err) == (3, True), refused
    shown = told.tollbook("ledger", "cases", "show", case["id"])
    assert "assigned by ada: from billing to grace" in shown.out
    assert told.tollbook("ledger", "cases", "list").out.strip() == "There are no such cases."


def test_a_dead_letter_is_listed_shown_and_stays_with_its_tries_while_nobody_can_use_it(told: Told) -> None:
    [letter] = told.tollbook("ledger", "dead-letters", "list", "--json").json["data"]
    assert (letter["reason"], letter["tries"]) == ("unknown_version", 0)
    place = f"{letter['partition']}/{letter['offset']}"
    assert told.poison["event_id"] in told.tollbook("ledger", "dead-letters", "show", place).out
    for tries, arguments in enumerate((["--all"], [place], ["--reason", "unknown_version"]), 1):
        ran = told.tollbook("ledger", "dead-letters", "redrive", *arguments)
        assert (ran.code, ran.out.strip()) == (1, "still_poison: 1"), ran
        [letter] = told.tollbook("ledger", "dead-letters", "list", "--json").json["data"]
        assert letter["tries"] == tries
    assert told.tollbook("ledger", "dead-letters", "redrive").code == 2
    assert told.tollbook("ledger", "dead-letters", "redrive", "0/999999").code == 3


def invoice(told: Told, tmp_path: Path) -> Path:
    """The provider's own invoice of the channel, at what the operator's contract says: 0.80 of the list."""
    rates = {"channel": CHANNEL, "input": "2", "cached_input": "1", "output": "8", "currency": "USD"}
    file = tmp_path / "invoice.csv"
    file.write_text(httpx.get(f"{told.stack['provider_url']}/control/invoice", params=rates).text, "utf-8")
    return file


def test_every_line_of_the_providers_invoice_is_matched_or_explained(told: Told, tmp_path: Path) -> None:
    file = invoice(told, tmp_path)
    lines = list(csv.DictReader(file.read_text("utf-8").splitlines()))
    ran = told.tollbook("reconcile", str(file), "--provider", "generic", "--channel", CHANNEL, "--json")
    assert ran.code == 0, ran
    report = ran.json
    assert (report["lines"], report["unexplained"], report["bad_rows"]) == (len(lines), 0, [])
    unmatched = {entry["line"]: entry["why"] for entry in report["only_provider"]}
    assert len(unmatched) == report["lines"] - report["matched"] == 2
    assert any("(timeout)" in why for why in unmatched.values())
    assert any("(connection_failed)" in why for why in unmatched.values())
    assert {entry["billed_on_line"] for entry in report["exposure"]} >= set(unmatched)
    assert ["broke off" in entry["why"] for entry in report["different"]] == [True]
    billed = report["capture"]["tokens"]
    lost = sum(int(line["prompt_tokens"]) + int(line["completion_tokens"]) for line in lines[6:7] + lines[7:8])
    assert billed["billed"] - billed["captured"] >= lost > 0
    assert 0 < report["capture"]["cost"]["USD"]["rate"] < 1


def test_the_same_bill_as_daily_sums_comes_to_the_same_capture_rate(told: Told, tmp_path: Path) -> None:
    by_line = told.tollbook(
        "reconcile", str(invoice(told, tmp_path)), "--provider", "generic", "--channel", CHANNEL, "--json"
    ).json["capture"]["tokens"]
    days: dict[tuple[str, str], list[int]] = {}
    for line in csv.DictReader(invoice(told, tmp_path).read_text("utf-8").splitlines()):
        sums = days.setdefault((line["created_at"][:10], line["model"]), [0, 0, 0])
        for position, value in enumerate((1, int(line["prompt_tokens"]), int(line["completion_tokens"]))):
            sums[position] += value
    file = tmp_path / "daily.csv"
    rows = [f"{day},{model},{requests},{prompt},{output}" for (day, model), (requests, prompt, output) in days.items()]
    file.write_text("\n".join(("date,model,num_model_requests,input_tokens,output_tokens", *rows)), "utf-8")
    ran = told.tollbook("reconcile", str(file), "--provider", "openai", "--channel", CHANNEL, "--json")
    assert (ran.code, ran.json["matched_by"]) == (0, "day and model"), ran
    assert ran.json["capture"]["tokens"] == by_line


def test_after_all_of_it_the_ledger_is_still_proved(told: Told) -> None:
    ran = told.tollbook("ledger", "check", "--json")
    assert (ran.code, ran.json["result"]["ok"]) == (0, True), ran
