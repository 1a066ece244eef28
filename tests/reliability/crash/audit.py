"""What must hold after a kill: every invariant, one story in all records, and a client that was told the truth."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Literal

import httpx

from schemas import topics
from tests.e2e.books import LOADED
from tests.e2e.driver import amount
from tests.oracle import Oracle, Tokens
from tests.reliability.crash.clients import Asked
from tests.reliability.crash.rig import GRACE_S, Rig

Fate = Literal["settled", "expired", "late", "nothing"]
"""settled: charged what the provider counted. expired: charged the last recorded progress, with a case. late: the same, and the
completion that came afterwards is written off. nothing: no hold."""
QUIET_TIMEOUT_S = 90.0
PATIENCE_S = 60.0
POLL_S = 0.05


class Audit:
    """The expectations of one rig's requests, and the proof that they hold."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._oracle = Oracle()
        self._fates: dict[str, tuple[Asked, Fate]] = {}
        self._charged: dict[str, Decimal] = defaultdict(Decimal)
        self._funds: dict[str, Decimal] = defaultdict(Decimal)

    def funded(self, account_id: str, credit: Decimal) -> None:
        """The account was given so much."""
        self._funds[account_id] += credit

    def expect(self, asked: Iterable[Asked], fate: Fate) -> None:
        """How these requests must end."""
        self._fates.update({each.probe: (each, fate) for each in asked})

    async def after_a_kill(self) -> None:
        """Everything that does not wait for a deadline: invariants, counts of all records, requests that were settled."""
        await self._until_settled([probe for probe, (_, fate) in self._fates.items() if fate == "settled"])
        await self._quiet(lambda row: row["outbox"] + row["ingress"] == 0)
        await self._same_everywhere()
        assert await self._rig.ledger.violations(GRACE_S + PATIENCE_S) == []
        await self._check_ends({probe: each for probe, each in self._fates.items() if each[1] != "expired"})

    async def at_the_end(self) -> None:
        """Everything: no hold is open any more, and every balance is what the oracle computes."""
        await self._quiet(lambda row: sum(row.values()) == 0)
        await self.after_a_kill()
        await self._check_ends(self._fates)
        for account_id, credit in self._funds.items():
            row = await self._rig.ledger.balance(account_id, "credit")
            assert (row["held"], row["overrun"]) == (0, 0)
            assert amount(row["posted"]) == credit - self._charged[account_id], account_id

    async def _until_settled(self, probes: list[str]) -> None:
        """Wait for those whose reply goes on without its reader, or without the process that was killed."""
        deadline = time.monotonic() + QUIET_TIMEOUT_S
        while any(hold["state"] == "HELD" for holds in (await self._rig.ledger.holds(probes)).values() for hold in holds):
            assert time.monotonic() < deadline, "a hold that had to be settled is open"
            await asyncio.sleep(POLL_S)

    async def _quiet(self, enough: Any) -> None:
        """Wait until the worker has read everything, and what must leave Postgres has left it."""
        deadline = time.monotonic() + QUIET_TIMEOUT_S
        while True:
            ends = await self._rig.topics.catch_up()
            offsets = await self._rig.ledger.offsets()
            behind = sum(
                end - offsets.get(partition.partition, 0)
                for partition, end in ends.items()
                if partition.topic == topics.ATTEMPTS
            )
            waiting = await self._rig.ledger.waiting()
            if behind == 0 and enough(waiting):
                break
            assert time.monotonic() < deadline, f"not quiet: {behind} records behind, {waiting}"
            await asyncio.sleep(POLL_S)
        await self._rig.topics.catch_up()

    async def _same_everywhere(self) -> None:
        """I12, and the inbox: the same distinct events in Kafka, in Postgres and in ClickHouse."""
        completed = self._rig.topics.found[topics.ATTEMPTS].ids_by_type["RequestCompleted"]
        assert await self._rig.ledger.inbox() == completed
        deadline = time.monotonic() + QUIET_TIMEOUT_S
        while True:
            await self._rig.topics.catch_up()
            want = {name: len(self._rig.topics.found[name].ids) for name in LOADED}
            rows, events = await self._loaded()
            if want == rows == events:
                return
            assert time.monotonic() < deadline, f"Kafka has {want}, ClickHouse has {events} events in {rows} rows"
            await asyncio.sleep(POLL_S)

    async def _loaded(self) -> tuple[dict[str, int], dict[str, int]]:
        try:
            counts = await self._rig.driver.admin("analytics", "/admin/counts")
        except (httpx.TransportError, AssertionError):
            return {}, {}
        return {name: counts[name]["rows"] for name in LOADED}, {name: counts[name]["distinct_event_ids"] for name in LOADED}

    async def _check_ends(self, fates: dict[str, tuple[Asked, Fate]]) -> None:
        """Check how each request ended, once, and add up what each account was charged."""
        holds = await self._rig.ledger.holds(fates)
        for probe, (asked, fate) in list(fates.items()):
            self._fates.pop(probe)
            if fate == "nothing":
                self._is_nothing(asked, holds[probe])
                continue
            [hold] = holds[probe]
            if fate == "settled":
                cost = await self._is_settled(asked, hold)
            else:
                cost = await self._is_expired(asked, hold)
                await (self._is_late if fate == "late" else self._is_silent)(asked, hold, cost)
            self._charged[asked.customer.account_id] += cost

    def _is_nothing(self, asked: Asked, holds: list[dict[str, Any]]) -> None:
        assert holds == []
        assert self._rig.tap.calls[asked.probe] == 0
        assert not asked.whole

    async def _is_settled(self, asked: Asked, hold: dict[str, Any]) -> Decimal:
        """Captured once, for what the provider counted; the client was quoted the same, if it saw the end."""
        cost = self._oracle.charge("direct", asked.model, asked.tokens).amount
        assert (hold["state"], amount(hold["captured_nano"])) == ("CAPTURED", cost), hold
        assert await self._rig.ledger.ends(hold["id"]) == ["capture"]
        receipt = (await self._rig.ledger.receipts([hold["request_id"]]))[hold["request_id"]]
        assert (receipt["status"], amount(receipt["charge_nano"]), receipt["overrun_nano"]) == ("settled", cost, 0)
        assert len(self._rig.topics.completed(hold["request_id"])) == 1
        assert len(self._rig.topics.events_of(hold["request_id"], "Captured")) == 1
        assert self._rig.tap.calls[asked.probe] == 1
        if asked.whole:
            assert asked.quoted == cost
        return cost

    async def _is_expired(self, asked: Asked, hold: dict[str, Any]) -> Decimal:
        """Charged for the last recorded progress at the cheapest candidate, never more than was seen; the rest is a case."""
        assert not asked.whole
        seen = Tokens(prompt=hold["progress_input"], output=hold["progress_output"])
        costs = [self._oracle.charge(route, model, seen).amount for _, route, model in hold["candidates"]]
        cost = min(*costs, amount(hold["amount_nano"]))
        assert (hold["state"], amount(hold["captured_nano"])) == ("EXPIRED", cost), hold
        assert hold["progress_output"] <= asked.words
        [case] = await self._rig.ledger.cases(hold["id"])
        assert (case["kind"], case["currency"]) == ("expired_hold", "USD")
        assert amount(case["exposure_nano"]) == amount(hold["amount_nano"]) - cost
        assert len(self._rig.topics.events_of(hold["request_id"], "Expired")) == 1
        assert self._rig.tap.calls[asked.probe] <= 1
        return cost

    async def _is_silent(self, asked: Asked, hold: dict[str, Any], _: Decimal) -> None:
        """Nobody ever said how the request ended."""
        assert await self._rig.ledger.ends(hold["id"]) == ["expire"]
        assert self._rig.topics.completed(hold["request_id"]) == []
        assert await self._rig.ledger.receipts([hold["request_id"]]) == {}

    async def _is_late(self, asked: Asked, hold: dict[str, Any], charged: Decimal) -> None:
        """What came after the end is the operator's loss, to the last unit, and the receipt says so."""
        assert await self._rig.ledger.ends(hold["id"]) == ["expire", "late_usage"]
        [late] = self._rig.topics.events_of(hold["request_id"], "LateUsage")
        owed = self._oracle.charge("direct", asked.model, asked.tokens).amount - charged
        assert amount(late["data"]["amount_nano"]) == owed
        receipt = (await self._rig.ledger.receipts([hold["request_id"]]))[hold["request_id"]]
        assert (receipt["status"], amount(receipt["written_off_nano"])) == ("expired", owed)
