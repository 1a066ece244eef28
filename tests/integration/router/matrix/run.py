"""Asks every cell at once and reads what became of each: the reply, the record in the log, the receipt, the balances."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import httpx
import orjson
from aiokafka import AIOKafkaConsumer

from schemas.attempts import RequestCompleted
from schemas.envelope import Event, new_id
from schemas.registry import decode
from schemas.topics import ATTEMPTS
from tests.announced import new_accounts
from tests.integration.router.matrix.cells import Cell, table
from tests.integration.router.rig import ADMIN, CHAT, EDGE, Lane, Reply, Rig, Story, context

SCRIPT = "[sim input_tokens=90 output_tokens=12]"
PROMPT = "hello " * 100 + SCRIPT
AT_ONCE = 48
READ_S = 60.0
FUNDS = {"credit": "100", "wallet": "1000"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one cell."""

    reply: Reply
    told: Story
    receipt: dict[str, Any]
    balances: Mapping[str, dict[str, Any]]


class Run:
    """One run of all cells over a running neighbourhood."""

    def __init__(self, rig: Rig, cells: Sequence[Cell]) -> None:
        self._rig = rig
        self._cells = list(cells)
        limits = httpx.Limits(max_connections=AT_ONCE)
        self._http = httpx.AsyncClient(timeout=60, trust_env=False, limits=limits)
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._accounts: list[str] = []

    async def outcomes(self) -> dict[int, Outcome]:
        """By the cell's number."""
        self._prepare()
        self._accounts = await asyncio.to_thread(new_accounts, self._rig.kafka, self._rig.urls["settlement"], len(self._cells))
        async with self._http:
            asked = await asyncio.gather(*(self._ask(cell) for cell in self._cells))
            stories = await read_stories(self._rig.kafka, {request_id for request_id, _, _ in asked})
            found = await asyncio.gather(*(self._settled(lane, request_id) for request_id, lane, _ in asked))
        pairs = zip(self._cells, asked, found, strict=True)
        return {
            cell.number: Outcome(reply, stories[request_id], receipt, balances)
            for cell, (request_id, _, reply), (receipt, balances) in pairs
        }

    def _prepare(self) -> None:
        scripted = {cell.provider: cell.expected.fault for cell in self._cells}
        for provider, fault in scripted.items():
            self._rig.script(provider, fault)
        document = table(self._rig.urls["provider"], self._cells)
        self._rig.post("router", "/admin/routes", content=orjson.dumps(document))

    async def _ask(self, cell: Cell) -> tuple[UUID, Lane, Reply]:
        lane = Lane(f"c{cell.number}", self._accounts.pop())
        request_id = new_id()
        policy = {"cross_bucket": cell.crossing, "max_attempts": 10}
        body = {"model": lane.model, "messages": [{"role": "user", "content": PROMPT}], "max_tokens": 64, "stream": cell.stream}
        headers = {"authorization": f"Bearer {EDGE}", "x-tollbook-context": context(lane, request_id, policy)}
        async with self._gate:
            for bucket, amount in FUNDS.items():
                await self._fund(lane, bucket, amount)
            reply = await self._http.post(self._rig.urls["router"] + CHAT, content=orjson.dumps(body), headers=headers)
        return request_id, lane, Reply(reply.status_code, reply.headers, reply.content)

    async def _fund(self, lane: Lane, bucket: str, amount: str) -> None:
        facts = {"account_id": lane.account_id, "bucket": bucket, "amount": amount}
        body = {**facts, "provider": "test", "payment_id": uuid4().hex}
        url, headers = self._rig.urls["settlement"] + "/admin/topups", {"authorization": f"Bearer {ADMIN}"}
        (await self._http.post(url, json=body, headers=headers)).raise_for_status()

    async def _settled(self, lane: Lane, request_id: UUID) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        settlement = self._rig.urls["settlement"]
        path = f"{settlement}/internal/accounts/{lane.account_id}"
        async with self._gate, asyncio.timeout(READ_S):
            while True:
                reply = await self._http.get(f"{path}/receipts/{request_id}", headers={"authorization": f"Bearer {EDGE}"})
                if reply.is_success and reply.json()["status"] != "pending":
                    break
                await asyncio.sleep(0.05)
            rows = await self._http.get(f"{path}/balances", headers={"authorization": f"Bearer {EDGE}"})
        return reply.json(), {row["bucket"]: row for row in rows.json()["data"]}


async def read_stories(kafka: str, ids: set[UUID]) -> dict[UUID, Story]:
    """Every event of the requests, waited for until each is completed."""
    consumer = AIOKafkaConsumer(
        ATTEMPTS, bootstrap_servers=kafka, group_id=None, auto_offset_reset="earliest", enable_auto_commit=False
    )
    events: dict[UUID, list[Event]] = {id_: [] for id_ in ids}
    seen, left = set(), set(ids)
    await consumer.start()
    try:
        async with asyncio.timeout(READ_S):
            async for message in consumer:
                event = decode(ATTEMPTS, dict(message.headers)["type"].decode(), message.value)
                if event.request_id in events and event.event_id not in seen:
                    seen.add(event.event_id)
                    events[event.request_id].append(event)
                    left -= {event.request_id} if isinstance(event, RequestCompleted) else set()
                    if not left:
                        return {id_: Story(found) for id_, found in events.items()}
    finally:
        await consumer.stop()
    raise AssertionError("the log ended")
