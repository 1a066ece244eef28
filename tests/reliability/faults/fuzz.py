"""Fuzzed requests and fuzzed upstreams: nothing is answered with a failure of ours, no hold is lost, every charge is exact."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any

import orjson

from tests.reliability.faults.bodies import APIS, CHATTING, body
from tests.reliability.faults.reckoning import Reckoning, reckon
from tests.reliability.faults.upstream import PATHS, Bent, sound_replies
from tests.reliability.faults.world import LIMITS, Seen, World, at_once, quiet
from tests.reliability.progress import Progress

CUSTOMERS = 40
CHANNELS_PER_DIALECT = 150
"""Few calls each, so that no breaker keeps the bent upstream from being asked."""
OURS = ("internal", "internal_error")
PROVIDERS = frozenset({502, 503, 504})
"""Statuses that tell of a provider's failure."""


@dataclass(frozen=True, slots=True)
class Fuzz:
    """How it went: replies by status, what was called, and the books."""

    what: str
    asked: int
    statuses: Counter[int]
    upstream_replies: int
    books: Reckoning

    def __str__(self) -> str:
        verdict = "no failure of ours, no hold lost, every charge exact, the ledger clean"
        told = f"; {self.upstream_replies:,} bent replies were read" if self.upstream_replies else ""
        return (
            f"{self.what}: {self.asked:,} requests{told}; statuses {dict(sorted(self.statuses.items()))};"
            f" {self.books.receipts:,} were held, {self.books.charged:,} charged: {self.books.wrong or verdict}"
        )


async def fuzz_bodies(world: World, count: int, progress: Progress, *, seed: int = 5) -> Fuzz:
    """Bent request bodies for every client API, over sound upstreams."""
    await world.open(CUSTOMERS)
    draw = Random(seed)
    apis = list(APIS)
    asking = [(apis[number % len(apis)], body(draw, apis[number % len(apis)])) for number in range(count)]
    seen = await _ask(world, asking, progress)
    found = await _reckoned(world, asking, seen)
    for (_, content), each in zip(asking, seen, strict=True):
        if each.status >= 500:
            found.say(f"a sound upstream and {each.status} {each.body[:200]!r} for {content[:2000]!r}")
    return Fuzz("bodies", count, Counter(each.status for each in seen), 0, found)


async def fuzz_upstreams(world: World, count: int, progress: Progress, *, seed: int = 6) -> Fuzz:
    """Sound requests over upstreams that answer with bent replies, with a sound backup or without one."""
    sound = await sound_replies(world.driver.http, world.driver.stack["provider_url"])
    await world.open(CUSTOMERS)
    draw = Random(seed)
    async with Bent(sound, seed) as bent:
        models = await _routed(world, bent.port)
        paths = [CHATTING[number % len(CHATTING)] for number in range(count)]
        asking = [(path, _sound(draw, path, draw.choice(models))) for path in paths]
        seen = await _ask(world, asking, progress)
        found = await _reckoned(world, asking, seen)
        return Fuzz("upstreams", count, Counter(each.status for each in seen), bent.answered, found)


async def _ask(world: World, asking: Sequence[tuple[str, bytes]], progress: Progress) -> list[Seen]:
    done = 0

    async def one(path: str, content: bytes) -> Seen:
        nonlocal done
        seen = await world.ask(path, content)
        done += 1
        progress.at(done)
        return seen

    return await at_once(partial(one, path, content) for path, content in asking)


async def _reckoned(world: World, asking: Sequence[tuple[str, bytes]], seen: Sequence[Seen]) -> Reckoning:
    await quiet(world.driver)
    found = reckon(world.driver.stack["postgres_dsn"], world.accounts, seen)
    for (path, content), each in zip(asking, seen, strict=True):
        if (
            each.status < 200
            or (each.status >= 500 and each.status not in PROVIDERS)
            or any(code in _code(each) for code in OURS)
        ):
            found.say(f"{path} answered {each.status} {each.body[:200]!r} to {content[:2000]!r}")
    return found


def _code(seen: Seen) -> str:
    """The code of an error reply, and of the error that ends a stream."""
    last = seen.body.rpartition(b"data: ")[2] if seen.status == 200 else seen.body
    try:
        document = orjson.loads(last)
    except orjson.JSONDecodeError:
        return ""
    error = document.get("error") if isinstance(document, dict) else None
    return str(error.get("code") or error.get("type")) if isinstance(error, dict) else ""


async def _routed(world: World, port: int) -> list[str]:
    provider = world.driver.stack["provider_url"]
    place = {"route_type": "direct", "brand": "bent", "keys": [{"secret": "sk-bent"}], "cost_factor": "0.8"}
    backup = {**place, "id": "bent-backup", "dialect": "openai", "base_url": f"{provider}/bent-backup/v1"}
    channels: list[dict[str, Any]] = [backup]
    models: list[str] = []
    rows: list[dict[str, Any]] = []
    for dialect, (version, _, _) in PATHS.items():
        for number in range(CHANNELS_PER_DIALECT):
            id_ = f"bent-{dialect}-{number}"
            channels.append(
                {**place, "id": id_, "dialect": dialect, "base_url": f"http://127.0.0.1:{port}/{dialect}/{version}"}
            )
            candidates = [{"channel": id_, "upstream_model": "gpt-4o"}]
            if number % 3 == 0:
                candidates.append({"channel": "bent-backup", "upstream_model": "gpt-4o"})
            models.append(id_)
            rows.append({"id": id_, **LIMITS, "candidates": candidates})
    await world.route(channels, rows)
    return models


def _sound(draw: Random, api: str, model: str) -> bytes:
    whole = {**APIS[api], "model": model, "stream": draw.random() < 0.6}
    dropped = ("tools", "tool_choice", "stop", "stop_sequences", "n", "response_format", "metadata")
    return orjson.dumps({name: value for name, value in whole.items() if name not in dropped})
