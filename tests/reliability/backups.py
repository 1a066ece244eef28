"""Backups of a whole stack under load, each restored beside it and proven there.

`python -m tests.reliability.backups --rounds 20`. Every round: six clients ask, plain and streamed, and a backup is taken in
the middle; it is restored into a home of its own, started, and audited. Ends with 1 when a charge is missing, differs or stands
twice, an invariant is broken, a key, a receipt or a file is not there.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx

from deploy.local.backup.commands import take
from deploy.local.backup.restore import restore
from deploy.local.home import CHECKOUT, read_json
from deploy.local.progress import Progress as Steps
from deploy.local.stack import Stack
from schemas import topics
from tests.e2e import books
from tests.e2e.driver import Customer, Driver
from tests.e2e.load import Load, answers_grow
from tests.integration.backup.traffic import charges
from tests.reliability.progress import Progress

SETTINGS = {"TOLLBOOK_REQUEST_DEADLINE_SECONDS": "25", "TOLLBOOK_HOLD_GRACE_SECONDS": "4"}
"""The holds that a backup catches open have to expire within a round, not within minutes."""
FILE = b'{"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "gpt-4o", "messages": []}}\n'
SETTLED_WITHIN_S = 180.0
QUIET = Steps(quiet=True)


@dataclass
class Source:
    """The stack that goes on working, one customer of it, and what it has that a restored one must have."""

    stack: Stack
    driver: Driver
    customer: Customer
    file_id: str
    receipt: bytes

    @property
    def key(self) -> str:
        return self.customer.keys["any"]


async def prove(rounds: int, *, quiet: bool = False) -> int:
    """How many settled requests were found again, over all rounds."""
    progress = Progress("backups", rounds, quiet=quiet)
    with tempfile.TemporaryDirectory(prefix="tollbook-backups-", ignore_cleanup_errors=True) as directory:
        place = _made(Path(directory))
        stack = _stack(place / "source")
        try:
            await asyncio.to_thread(stack.up)
            async with Driver(read_json(stack.home.stack_file)) as driver:
                source = await _source(stack, driver)
                return sum([await _round(source, place / str(number), progress) for number in range(1, rounds + 1)])
        finally:
            await asyncio.to_thread(stack.clean)


def _made(directory: Path) -> Path:
    """A directory that Postgres's account may pass through."""
    directory.mkdir(exist_ok=True)
    directory.chmod(0o711)
    return directory


def _stack(home: Path) -> Stack:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TOLLBOOK_")}
    return Stack(home, environ=inherited | SETTINGS | {"TOLLBOOK_HOME": str(home)}, fixed_ports=False)


async def _source(stack: Stack, driver: Driver) -> Source:
    customer = await driver.customer(any={"route_types": ["direct"]})
    await driver.top_up(customer.account_id, "credit", "100000")
    key = {"authorization": f"Bearer {customer.keys['any']}"}
    upload = {"file": ("lines.jsonl", FILE)}
    url = driver.stack["edge_url"]
    made = await driver.http.post(f"{url}/v1/files", headers=key, files=upload, data={"purpose": "batch"})
    assert made.is_success, made.text
    asked = await driver.chat(customer.keys["any"], {"model": "gpt-4o", "messages": [{"role": "user", "content": "x"}]})
    receipt = await _signed(driver, customer.keys["any"], asked.request_id)
    return Source(stack, driver, customer, made.json()["id"], receipt)


async def _signed(driver: Driver, key: str, request_id: str) -> bytes:
    """The signed receipt, once it is sealed."""
    async with asyncio.timeout(60):
        while True:
            reply = await driver.send(key, "GET", f"/v1/requests/{request_id}?signed=true")
            if reply.status_code == 200 and b'"status":"sealed"' in reply.content:
                return reply.content
            await asyncio.sleep(0.2)


async def _round(source: Source, place: Path, progress: Progress) -> int:
    _made(place)
    load = Load(source.driver, source.customer)
    await answers_grow(load, 100)
    before = await asyncio.to_thread(charges, source.driver.stack["postgres_dsn"])
    made = await asyncio.to_thread(take, source.stack, place / "backup", QUIET)
    await answers_grow(load, 20)
    await load.stop()
    assert [(reply.status, reply.body) for _, reply in load.replies if not reply.ok] == []
    assert load.broken == 0, "a client was cut off while the backup was taken"
    other = _stack(place / "restored")
    try:
        await asyncio.to_thread(restore, place / "backup", other, QUIET)
        await asyncio.to_thread(other.up)
        async with Driver(read_json(other.home.stack_file)) as driver:
            await _compare(source, driver, other, before)
    finally:
        await asyncio.to_thread(other.clean)
    records = sum(kept.records for of in made.topics.values() for kept in of.values())
    waited = f"holds waited for {made.held_ms:.0f} ms"
    progress.say(f"{place.name}: {len(before):,} settled requests found again, {records:,} records, {waited}")
    return len(before)


async def _compare(source: Source, driver: Driver, other: Stack, before: dict[UUID, int]) -> None:
    await books.settled(driver, within_s=SETTLED_WITHIN_S)
    found = await asyncio.to_thread(charges, driver.stack["postgres_dsn"])
    assert {request: found.get(request) for request in before} == before
    kafka = await books.loaded(driver, within_s=120)
    _settled_once(kafka[topics.LEDGER])
    reply = await driver.chat(source.key, {"model": "gpt-4o", "messages": [{"role": "user", "content": "x"}], "max_tokens": 9})
    assert reply.ok, reply
    content = await driver.send(source.key, "GET", f"/v1/files/{source.file_id}/content")
    assert content.content == FILE, content.text
    request_id = json.loads(source.receipt)["receipt"]["request_id"]
    again = json.loads(await _signed(driver, source.key, request_id))
    assert again["receipt"]["charge"] == json.loads(source.receipt)["receipt"]["charge"]
    await books.settled(driver)
    await asyncio.to_thread(_commands, source, other)


def _settled_once(ledger: books.Topic) -> None:
    """No hold has two ends, whatever ids they have."""
    ends: dict[str, set[str]] = {}
    for event in ledger.events.values():
        if event["type"] in {"Captured", "Released", "Expired"}:
            ends.setdefault(event["data"]["hold_id"], set()).add(event["event_id"])
    assert {hold: ids for hold, ids in ends.items() if len(ids) > 1} == {}


def _commands(source: Source, other: Stack) -> None:
    """What an operator asks: the ledger's invariants with a rebuilding, and whether an old receipt holds under today's keys."""
    keys, receipt = other.home.path / "keys.json", other.home.path / "receipt.json"
    described = read_json(other.home.stack_file)
    keys.write_bytes(httpx.get(f"{described['edge_url']}/v1/signing-keys", trust_env=False).content)
    receipt.write_bytes(source.receipt)
    for words in (["ledger", "check"], ["receipt", "verify", str(receipt), "--key", str(keys)]):
        told = {name: value for name, value in os.environ.items() if not name.startswith("TOLLBOOK_")}
        done = subprocess.run(
            [sys.executable, "-m", "services.console", *words],
            cwd=CHECKOUT,
            env=told | {"TOLLBOOK_HOME": str(other.home.path)},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    for path in (keys, receipt):
        path.unlink()


def arguments() -> Any:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    return parser.parse_args()


def main() -> int:
    """Run the proof; an assertion that fails is what it found."""
    asked = arguments()
    found = asyncio.run(prove(asked.rounds))
    print(
        f"{asked.rounds} backups under load restored and proven: {found:,} settled requests found again, none lost, none twice"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
