"""Many requests while a third of what the primary is asked goes wrong, with one healthy backup."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any

import orjson

from deploy.local.traffic import generated_sizes
from tests.reliability.faults.reckoning import Reckoning, reckon
from tests.reliability.faults.world import LIMITS, Seen, World, at_once, quiet
from tests.reliability.progress import Progress

SHARE = 0.30
KINDS: dict[str, dict[str, Any]] = {
    "429": {"retry_after_s": 0.05},
    "500": {},
    "503": {},
    "refuse": {},
    "burned": {},
    "cut": {"after_chunks": 0},
    "malformed": {"after_chunks": 0},
    "slow": {"latency_ms": 150},
}
"""Streams break before their first chunk: what has begun to reach a client is never begun again."""
SILENT: dict[str, dict[str, Any]] = {"timeout": {}}
"""For a stack whose patience with a silent upstream is short."""
CHANNELS = 12
"""Each with a breaker of its own, so that a series of bad luck rests one of them and not all."""
CUSTOMERS = 8


@dataclass(frozen=True, slots=True)
class Storm:
    """How it went. `faults`: what the provider did wrong, by kind."""

    asked: int
    answered: int
    main_calls: int
    faults: Counter[str]
    unanswered: list[tuple[int, bytes]]
    books: Reckoning

    def __str__(self) -> str:
        share = sum(self.faults.values()) / max(self.main_calls, 1)
        verdict = "every receipt complete, every charge exact, the ledger clean" if not self.books.wrong else self.books.wrong
        return (
            f"{self.asked:,} requests, {self.answered:,} answered ({self.answered / self.asked:.2%}); {share:.1%} of the"
            f" primary's {self.main_calls:,} calls went wrong ({dict(self.faults)}); {self.books.failed_attempts:,} failed"
            f" attempts, {self.books.exposed:,} of them with exposure: {verdict}"
        )


async def storm(world: World, requests: int, progress: Progress, *, silent: bool = False, seed: int = 4) -> Storm:
    """Ask them all, then reckon."""
    await _set_up(world, silent=silent, seed=seed)
    draw = Random(seed)
    sizes = generated_sizes(requests, seed)
    done: list[Seen] = []

    async def one(number: int) -> Seen:
        size = sizes[number]
        body = {
            "model": f"storm-{number % CHANNELS}",
            "messages": [{"role": "user", "content": "toll " * min(size.prompt, 400)}],
            "metadata": {"sim_input_tokens": str(size.prompt), "sim_output_tokens": str(size.output)},
            "max_tokens": size.output,
            **({"stream": True} if draw.random() < 0.5 else {}),
        }
        seen = await world.ask("/v1/chat/completions", orjson.dumps(body))
        done.append(seen)
        progress.at(len(done))
        return seen

    replies = await at_once(partial(one, number) for number in range(requests))
    calls, faults = await _witness(world)
    await quiet(world.driver)
    books = reckon(world.driver.stack["postgres_dsn"], world.accounts, replies)
    if books.receipts != requests:
        books.say(f"{books.receipts} receipts for {requests} requests")
    lost = [(each.status, each.body[:200]) for each in replies if not each.complete]
    return Storm(requests, requests - len(lost), calls, faults, lost[:10], books)


async def _set_up(world: World, *, silent: bool, seed: int) -> None:
    provider = world.driver.stack["provider_url"]
    channels, models = [], []
    kinds = KINDS | (SILENT if silent else {})
    for number in range(CHANNELS):
        pair = [f"storm-main-{number}", f"storm-backup-{number}"]
        for id_ in pair:
            place = {"route_type": "direct", "brand": "sim", "dialect": "openai", "base_url": f"{provider}/{id_}/v1"}
            channels.append({"id": id_, **place, "keys": [{"secret": "sim"}], "cost_factor": "0.8"})
        candidates = [{"channel": id_, "upstream_model": "gpt-4o"} for id_ in pair]
        models.append({"id": f"storm-{number}", **LIMITS, "candidates": candidates})
        await world.driver.faults(pair[0], faults(kinds, seed + number))
    await world.route(channels, models)
    await world.open(CUSTOMERS)


def faults(kinds: dict[str, dict[str, Any]], seed: int) -> list[dict[str, Any]]:
    """Each kind equally often, and `SHARE` of all requests one of them: the schedule asks one after the other."""
    each = SHARE / len(kinds)
    scripted = []
    for position, (kind, more) in enumerate(kinds.items()):
        left = 1 - position * each
        scripted.append({"kind": kind, "probability": each / left, "seed": seed * 100 + position, **more})
    return scripted


async def _witness(world: World) -> tuple[int, Counter[str]]:
    """How often the primaries were asked, and what they did wrong, by the provider's own count."""
    stats = (await world.driver.http.get(f"{world.driver.stack['provider_url']}/control/stats")).json()["channels"]
    mains = [each for each in stats if each["channel"].startswith("storm-main-")]
    found: Counter[str] = Counter()
    for each in mains:
        found.update(each["faults"])
    return sum(each["requests"] for each in mains), found
