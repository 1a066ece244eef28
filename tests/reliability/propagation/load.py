"""Steady load on both edges: each request with when it was sent, and what it shows of the state that it met."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass

import httpx

from tests.reliability.propagation.twins import MODEL, SIDES, Twins

CLIENTS = 2
"""On each side."""
PAUSE_S = 0.01
ASKED = {
    "model": MODEL,
    "messages": [{"role": "user", "content": "Who kept the toll?"}],
    "metadata": {"sim_output_tokens": "20"},
}


@dataclass(frozen=True, slots=True)
class Seen:
    """One request: sent at and answered at (monotonic seconds), to which edge, with which token, and what came of it."""

    side: int
    token: str
    sent_s: float
    done_s: float
    status: int
    code: str
    request_id: str
    channel: str
    cost: str
    prompt_tokens: int
    output_tokens: int


class Load:
    """Clients in a thread of their own, so that the changes beside them can be made one after the other.

    One more client on each side sends the secret that a key had before its rotation, while there is one.
    """

    def __init__(self, twins: Twins, token: str) -> None:
        self._twins = twins
        self.token = token
        self.former: str | None = None
        self.seen: list[Seen] = []
        self.broken: list[str] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="load")

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(60)

    def sent_after(self, instant_s: float, side: int) -> list[Seen]:
        """The requests to one side that were sent after an instant and are answered, in the order of their sending."""
        found = [each for each in self.seen[-20_000:] if each.side == side and each.sent_s > instant_s]
        return sorted(found, key=lambda each: each.sent_s)

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for side in SIDES:
                for _ in range(CLIENTS):
                    group.create_task(self._client(side))
                group.create_task(self._client(side, laggard=True))

    async def _client(self, side: int, *, laggard: bool = False) -> None:
        async with httpx.AsyncClient(base_url=self._twins.url("edge", side), timeout=60, trust_env=False) as http:
            while not self._over.is_set():
                token = (self.former if laggard else None) or self.token
                sent_s = time.monotonic()
                try:
                    reply = await http.post("/v1/chat/completions", json=ASKED, headers={"authorization": f"Bearer {token}"})
                except httpx.HTTPError as broken:
                    self.broken.append(repr(broken))
                    await asyncio.sleep(PAUSE_S)
                    continue
                self.seen.append(_seen(side, token, sent_s, reply))
                await asyncio.sleep(PAUSE_S)


def _seen(side: int, token: str, sent_s: float, reply: httpx.Response) -> Seen:
    body = reply.json()
    usage = body.get("usage") or {}
    return Seen(
        side,
        token,
        sent_s,
        time.monotonic(),
        reply.status_code,
        (body.get("error") or {}).get("code", ""),
        reply.headers.get("x-request-id", ""),
        reply.headers.get("x-tollbook-channel", ""),
        str(usage.get("cost", "")),
        usage.get("prompt_tokens", 0),
        usage.get("completion_tokens", 0),
    )
