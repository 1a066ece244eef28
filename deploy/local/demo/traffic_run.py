"""The demo's minute of traffic: the official client, realistic sizes, and a primary channel that breaks on the way."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import openai
from openai import AsyncOpenAI

from deploy.local.traffic import chat_body, generated_sizes

CONCURRENCY = 12
MODELS = ("gpt-4o", "gpt-4o-mini", "gpt-5-mini")
MAIN_BREAKS_AT, MAIN_MENDS_AT = 0.3, 0.6
"""Between these parts of the traffic the primary channel answers 503."""


@dataclass
class Tally:
    """What the client saw: replies by kind, what it was told that they cost, and the attempts of those that fell back."""

    outcomes: Counter[str] = field(default_factory=Counter)
    quoted: dict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    fallen_back: dict[str, int] = field(default_factory=dict)
    done: int = 0


class Traffic:
    """Sends `count` requests with one key within about `seconds`."""

    def __init__(self, edge_url: str, key: str, count: int, seconds: float) -> None:
        self._client = AsyncOpenAI(base_url=f"{edge_url}/v1", api_key=key, max_retries=0, timeout=60)
        self._count, self._seconds = count, seconds
        self.tally = Tally()

    async def run(self, break_main: Callable[[bool], None], progress: Callable[[int], None]) -> Tally:
        """Send everything, breaking and mending the primary channel on the way."""
        gate = asyncio.Semaphore(CONCURRENCY)
        switches = {int(self._count * MAIN_BREAKS_AT): True, int(self._count * MAIN_MENDS_AT): False}
        async with asyncio.TaskGroup() as group:
            for index, size in enumerate(generated_sizes(self._count)):
                await gate.acquire()
                if index in switches:
                    await asyncio.to_thread(break_main, switches[index])
                body = chat_body(MODELS[index % len(MODELS)], size)
                group.create_task(self._one(index, body, gate, progress))
                await asyncio.sleep(self._seconds / self._count / 2)
        await self._client.close()
        return self.tally

    async def _one(self, index: int, body: dict[str, Any], gate: asyncio.Semaphore, progress: Callable[[int], None]) -> None:
        try:
            tags = {"x-tollbook-tags": f"feature={('search', 'chat', 'summary')[index % 3]}"}
            reply = await self._client.chat.completions.with_raw_response.create(**body, extra_headers=tags)
            self._count_reply(dict(reply.headers), reply.parse())
        except openai.APIError as error:
            self.tally.outcomes[type(error).__name__] += 1
        finally:
            gate.release()
            self.tally.done += 1
            progress(self.tally.done)

    def _count_reply(self, headers: dict[str, str], completion: Any) -> None:
        extra = completion.usage.model_extra
        self.tally.outcomes["answered"] += 1
        self.tally.quoted[extra["bucket"]] += Decimal(str(extra["cost"]))
        if int(headers["x-tollbook-fallbacks"]):
            self.tally.outcomes["answered after a fallback"] += 1
            self.tally.fallen_back[headers["x-request-id"]] = int(headers["x-tollbook-attempts"])
