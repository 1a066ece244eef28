"""Upgrades of a whole stack under load: seven processes get new code, five stores new columns, no client notices.

`python -m tests.reliability.upgrades --rounds 3`. A copy of this checkout is the release before. Every round a next release is
laid over it, with a migration for each service that gives every busy table a column, and one for ClickHouse; then
`python -m deploy.local upgrade` runs in it. Meanwhile six clients ask on connections that they keep, plain and streamed, one on
a new connection each time, two read streams of several seconds, one sends batch after batch; a reader keeps the busy tables
open, as an audit of a large ledger does. Nobody retries. Ends with 1 when a request or a line failed or was charged other than
the oracle says, or twice, a process was not replaced, the ledger is not clean, or ClickHouse has other events than Kafka.
"""

import argparse
import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg

from deploy.local.home import CHECKOUT, Home, read_json
from deploy.local.stack import Stack
from deploy.local.traffic import Size
from deploy.local.upgrade import in_order
from tests.e2e import books
from tests.e2e.driver import Customer, Driver, Reply, amount, chat_body
from tests.e2e.load import TOP_UP, Load, answers_grow, assert_books_balance
from tests.oracle import Oracle, Tokens
from tests.reliability.progress import Progress

RELEASE = ("services", "schemas", "deploy", "tests")
SETTINGS = {"TOLLBOOK_REQUEST_DEADLINE_SECONDS": "25", "TOLLBOOK_HOLD_GRACE_SECONDS": "4"}
BUSY = {
    "settlement": ("hold", "txn", "posting", "receipt", "outbox", "bucket_balance", "consumer_offset", "envelope_window"),
    "router": ("route_table", "channel_key", "batch", "batch_line"),
    "edge": ("account", "project", "api_key", "claim", "control_outbox"),
    "analytics": ("loader", "loader_position"),
}
LOADED = ("requests", "attempts", "completions", "ledger")
SMALL = Size(20, 20)
UNDER_WAY = {"validating", "in_progress", "finalizing"}
LINES = 40
"""Of one batch; the next one is sent when it has ended."""
READS_FOR_S = 5.0
BATCH_WITHIN_S = 180.0
UPGRADE_WITHIN_S = 300.0


@dataclass
class Round:
    """What happened beside the steady load."""

    newcomers: list[Reply] = field(default_factory=list)
    streams: list[Reply] = field(default_factory=list)
    lines: list[dict[str, Any]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


class Release:
    """A checkout of which newer ones can be made, and the stack that runs from it."""

    def __init__(self, directory: Path) -> None:
        directory.chmod(0o711)  # Postgres's account passes through
        self.home = Home(directory / "home")
        self._checkout = directory / "checkout"
        for name in RELEASE:
            ignored = shutil.ignore_patterns("__pycache__", "node_modules")
            shutil.copytree(CHECKOUT / name, self._checkout / name, ignore=ignored)

    def make_next(self, number: int) -> None:
        """Lay a release over it that has a migration more for everybody."""
        services = self._checkout / "services"
        for service, tables in BUSY.items():
            statements = [f"ALTER TABLE {table} ADD COLUMN release_{number} text NOT NULL DEFAULT 'new';" for table in tables]
            (services / service / "migrations" / f"9{number:03}-release.sql").write_text("\n".join(statements))
        statements = [
            f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS release_{number} String DEFAULT 'new';" for table in LOADED
        ]
        (services / "analytics" / "clickhouse_migrations" / f"9{number:03}-release.sql").write_text("\n".join(statements))

    async def run(self, *words: str) -> None:
        """A command of the checkout's own `deploy.local`. Raises AssertionError with what it said."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("TOLLBOOK_")}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "deploy.local", *words,
            cwd=self._checkout,
            env=kept | SETTINGS | {"TOLLBOOK_HOME": str(self.home.path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
        said, _ = await asyncio.wait_for(process.communicate(), UPGRADE_WITHIN_S)
        assert process.returncode == 0, said.decode()


async def prove(rounds: int, *, quiet: bool = False) -> int:
    """How many requests were answered and charged, over all rounds."""
    progress = Progress("upgrades", rounds, quiet=quiet)
    with tempfile.TemporaryDirectory(prefix="tollbook-upgrades-", ignore_cleanup_errors=True) as directory:
        release = Release(Path(directory))
        stack = Stack(release.home.path)
        try:
            await release.run("up")
            async with Driver(read_json(stack.home.stack_file)) as driver:
                found = sum([await _round(release, stack, driver, number, progress) for number in range(1, rounds + 1)])
            await asyncio.to_thread(stack.down)
            await asyncio.to_thread(_clickhouse_has, stack.home, rounds)
        finally:
            await asyncio.to_thread(stack.clean)
        return found


async def _round(release: Release, stack: Stack, driver: Driver, number: int, progress: Progress) -> int:
    seen = Round()
    customer = await driver.customer(any={"route_types": ["direct"]}, batch={"route_types": ["direct"]})
    await driver.top_up(customer.account_id, "credit", str(TOP_UP))
    load = Load(driver, customer)
    await answers_grow(load, 40)
    streams = (_stream(driver, customer, seen), _stream(driver, customer, seen))
    async with _beside(_arrive(driver, load, seen), _batches(driver, customer, seen), *streams):
        before = {process.name: stack.pid(process.name) for process in in_order()}
        release.make_next(number)
        since = time.monotonic()
        reading = asyncio.create_task(asyncio.to_thread(_read, driver.stack["postgres_dsn"]))
        await release.run("upgrade")
        took = time.monotonic() - since
        await reading
        after = {process.name: stack.pid(process.name) for process in in_order()}
        assert [name for name in before if after[name] in {None, before[name]}] == [], "not replaced"
        await answers_grow(load, 40)
    await load.stop()
    assert load.broken == 0, f"{load.broken} connections were cut"
    assert seen.refused == []
    failed = [(reply.status, reply.body) for _, reply in load.replies if not reply.ok]
    failed += [(reply.status, reply.body) for reply in [*seen.newcomers, *seen.streams] if not reply.ok]
    assert failed == []
    _migrated(driver.stack["postgres_dsn"], number)
    load.replies += [(SMALL, reply) for reply in [*seen.newcomers, *seen.streams]]
    await assert_books_balance(driver, driver.stack, customer, load)
    await _lines_are_charged_once(driver, customer, seen.lines)
    kafka = await books.loaded(driver)
    rows = sum(len(topic.ids) for topic in kafka.values())
    replies = f"{len(load.replies):,} requests ({len(seen.newcomers)} on new connections, {len(seen.streams)} long streams)"
    lines = f"{len(seen.lines)} lines of batches"
    progress.say(
        f"{number}: {len(before)} processes in {took:.0f} s; {replies} and {lines}, none failed; {rows:,} events in both"
    )
    return len(load.replies) + len(seen.lines)


@asynccontextmanager
async def _beside(*clients: Any) -> AsyncIterator[None]:
    """Clients that go on until the block ends, and end what they have begun."""
    ended = asyncio.Event()
    tasks = [asyncio.create_task(_until(ended, client)) for client in clients]
    try:
        yield
    finally:
        ended.set()
        await asyncio.gather(*tasks)


async def _until(ended: asyncio.Event, requests: AsyncIterator[None]) -> None:
    async for _ in requests:
        if ended.is_set():
            return


async def _arrive(driver: Driver, load: Load, seen: Round) -> AsyncIterator[None]:
    """Clients that come once, each on a connection of its own."""
    while True:
        async with Driver(driver.stack) as client:
            try:
                seen.newcomers.append(await client.chat(load.customer.keys["any"], chat_body("gpt-4o", SMALL)))
            except httpx.TransportError as error:
                seen.refused.append(repr(error))
        yield
        await asyncio.sleep(0.02)


async def _stream(driver: Driver, customer: Customer, seen: Round) -> AsyncIterator[None]:
    """Replies that take seconds: whoever is replaced meanwhile has to end them."""
    body = chat_body("gpt-4o", SMALL, stream=True)
    body["metadata"] = {**body.get("metadata", {}), "sim_chunk_ms": "250"}
    while True:
        try:
            seen.streams.append(await driver.chat(customer.keys["any"], body))
        except httpx.TransportError as error:
            seen.refused.append(repr(error))
        yield


async def _batches(driver: Driver, customer: Customer, seen: Round) -> AsyncIterator[None]:
    """One batch after the other: the batch worker always has some under way."""
    while True:
        seen.lines += await _batch_lines(driver, customer, await _send_batch(driver, customer))
        yield


def _read(dsn: str) -> None:
    """Keep every busy table open for a while."""
    tables = [f"{schema}.{table}" for schema, names in BUSY.items() for table in names]
    with psycopg.connect(dsn) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        for table in tables:
            connection.execute(f"SELECT count(*) FROM {table}".encode())
        connection.execute("SELECT pg_sleep(%s)", (READS_FOR_S,))


async def _send_batch(driver: Driver, customer: Customer) -> str:
    body = chat_body("gpt-4o", SMALL)
    body["metadata"] = {**body.get("metadata", {}), "sim_latency_ms": "1000"}
    lines = [{"custom_id": f"{n}", "method": "POST", "url": "/v1/chat/completions", "body": body} for n in range(LINES)]
    key, url = {"authorization": f"Bearer {customer.keys['batch']}"}, driver.stack["edge_url"]
    upload = {"file": ("lines.jsonl", "\n".join(map(json.dumps, lines)).encode())}
    made = await driver.http.post(f"{url}/v1/files", headers=key, files=upload, data={"purpose": "batch"})
    assert made.is_success, made.text
    asked = {"input_file_id": made.json()["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    return str((await driver.ask(customer.keys["batch"], "POST", "/v1/batches", asked))["id"])


async def _batch_lines(driver: Driver, customer: Customer, batch: str) -> list[dict[str, Any]]:
    """The answers, once the batch has ended."""
    key = customer.keys["batch"]
    path = f"/v1/batches/{batch}"
    async with asyncio.timeout(BATCH_WITHIN_S):
        while (told := await driver.ask(key, "GET", path))["status"] in UNDER_WAY:  # noqa: ASYNC110 - another process tells
            await asyncio.sleep(0.5)
    assert (told["status"], told["request_counts"]) == ("completed", {"total": LINES, "completed": LINES, "failed": 0}), told
    content = await driver.send(key, "GET", f"/v1/files/{told['output_file_id']}/content")
    answers: list[dict[str, Any]] = [json.loads(line) for line in content.text.splitlines()]
    assert sorted(int(answer["custom_id"]) for answer in answers) == list(range(LINES))
    return answers


async def _lines_are_charged_once(driver: Driver, customer: Customer, lines: Sequence[dict[str, Any]]) -> None:
    """Each line's receipt is the oracle's, and no line was charged under a second request."""
    expected = Oracle().charge("direct", "gpt-4o", Tokens(prompt=SMALL.prompt, output=SMALL.output)).amount
    for line in lines:
        receipt = await driver.receipt(customer.keys["batch"], line["response"]["request_id"])
        assert (receipt["status"], amount(receipt["charge"]["amount_nano"])) == ("settled", expected), receipt
    path = f"/admin/accounts/{customer.account_id}/requests?key_id={customer.key_ids['batch']}&limit=500"
    charged: list[str] = []
    after = ""
    while after is not None:
        page = await driver.admin("settlement", f"{path}{after and f'&after={after}'}")
        charged += [row["request_id"] for row in page["data"] if row["charge"]]
        after = page["next_after"]
    assert sorted(charged) == sorted(line["response"]["request_id"] for line in lines), "a line was charged twice"


def _migrated(dsn: str, number: int) -> None:
    wanted = {(schema, table) for schema, tables in BUSY.items() for table in tables}
    with psycopg.connect(dsn) as connection:
        query = "SELECT table_schema, table_name FROM information_schema.columns WHERE column_name = %s"
        assert wanted == set(connection.execute(query, (f"release_{number}",)).fetchall())


def _clickhouse_has(home: Home, rounds: int) -> None:
    """The store applied every round's migration; asked once nobody has it open."""
    directory = home.data / "analytics" / "clickhouse"
    done = subprocess.run(
        [sys.executable, "-m", "tests.e2e.clickhouse_rows", str(directory)],
        cwd=CHECKOUT, capture_output=True, text=True, timeout=300, check=True,
    )  # fmt: skip
    for number in range(1, rounds + 1):
        assert f"9{number:03}-release\t" in done.stdout


def main() -> int:
    """Run the proof; an assertion that fails is what it found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    found = asyncio.run(prove(asked.rounds))
    print(f"{asked.rounds} upgrades under load: {found:,} requests and lines charged exactly, none failed, none twice")
    return 0


if __name__ == "__main__":
    sys.exit(main())
