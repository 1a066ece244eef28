"""Clients of edge: each request carries a probe by which every record of it can be found, and notes what its sender saw."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import uuid4

import httpx

from deploy.local.traffic import Size
from tests.e2e.driver import Customer, chat_body
from tests.oracle import Tokens

INSTANT: Mapping[str, int] = {}


@dataclass(kw_only=True)
class Asked:
    """One request. `words` are the chunks with content that the client has received so far."""

    probe: str
    customer: Customer
    model: str
    size: Size
    stream: bool
    task: asyncio.Task[None] | None = None
    status: int | None = None
    words: int = 0
    whole: bool = False
    usage: dict[str, Any] = field(default_factory=dict)
    refusal: str | None = None

    @property
    def tokens(self) -> Tokens:
        """What the provider counts for it."""
        return Tokens(prompt=self.size.prompt, output=self.size.output)

    @property
    def quoted(self) -> Decimal:
        """What its reply said that it costs."""
        return Decimal(str(self.usage["cost"]))

    async def done(self) -> None:
        """Return when the client has nothing more to wait for."""
        assert self.task is not None
        async with asyncio.timeout(60):
            await self.task


class Clients:
    """Sends requests. The pace of each is scripted in its own body, for the provider simulator to read."""

    def __init__(self, edge_url: str) -> None:
        self._url = f"{edge_url}/v1/chat/completions"
        self._http = httpx.AsyncClient(timeout=90, trust_env=False, limits=httpx.Limits(max_connections=256))

    async def close(self) -> None:
        """Hang up."""
        await self._http.aclose()

    def ask(
        self,
        customer: Customer,
        size: Size,
        *,
        key: str = "any",
        model: str = "gpt-4o",
        stream: bool = False,
        pace_ms: Mapping[str, int] = INSTANT,
        run_id: str | None = None,
    ) -> Asked:
        """Send one request, and go on: `latency` and `chunk` slow its reply down. With `run_id` it joins that run."""
        asked = Asked(probe=uuid4().hex, customer=customer, model=model, size=size, stream=stream)
        body = chat_body(model, size, stream=stream)
        body["metadata"] |= {"probe": asked.probe} | {f"sim_{name}_ms": str(value) for name, value in pace_ms.items()}
        headers = {
            "authorization": f"Bearer {customer.keys[key]}",
            "x-request-id": asked.probe,
            "x-tollbook-tags": f"probe={asked.probe}",
            **({"x-tollbook-run": run_id} if run_id else {}),
        }
        asked.task = asyncio.create_task(self._converse(asked, headers, body))
        return asked

    async def _converse(self, asked: Asked, headers: dict[str, str], body: dict[str, Any]) -> None:
        try:
            async with self._http.stream("POST", self._url, json=body, headers=headers) as reply:
                asked.status = reply.status_code
                if asked.stream and reply.status_code == 200:
                    await _read_stream(asked, reply)
                else:
                    _read_whole(asked, json.loads(await reply.aread()))
        except httpx.TransportError:
            # Whatever was not seen by now is never seen.
            return


def _read_whole(asked: Asked, content: dict[str, Any]) -> None:
    asked.whole = asked.status == 200
    asked.usage = content.get("usage") or {}
    asked.refusal = content.get("error", {}).get("code")


async def _read_stream(asked: Asked, reply: httpx.Response) -> None:
    failed = False
    async for line in reply.aiter_lines():
        if line == "data: [DONE]":
            asked.whole = not failed
        elif line.startswith("data: "):
            chunk = json.loads(line[6:])
            failed = failed or "error" in chunk
            asked.usage = chunk.get("usage") or asked.usage
            asked.words += sum(bool(choice["delta"].get("content")) for choice in chunk.get("choices", ()))
