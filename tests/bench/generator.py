"""The load generator's process: `python -m tests.bench.generator FILE` reads a `Load` from stdin, writes its `Outcome` to FILE.

To a file and not to stdout: what is written to a pipe after `uvloop.run` was seen to end at 64 KiB when nobody reads yet.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from pathlib import Path

import uvloop

from tests.bench.client import Client, Tally
from tests.bench.load import Load, Outcome

WATCH_S = 0.5
RECONNECTS_MAX = 10_000


class Generator:
    """Runs one load."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._tally = Tally()
        self._requests = itertools.cycle([_request(load, body.encode()) for body in load.bodies])
        self._left = load.requests_max
        self._reconnects = RECONNECTS_MAX
        self._clients: dict[int, Client] = {}

    async def run(self) -> Outcome:
        """Load until the bounds are met and every request under way has ended."""
        started_at, begin, cpu = time.time(), time.perf_counter(), time.process_time()
        self._deadline = begin + self._load.seconds
        watch = asyncio.create_task(self._watch())
        await asyncio.gather(*(self._connection(slot) for slot in range(self._load.connections)))
        watch.cancel()
        tally = self._tally
        return Outcome(
            started_at=started_at,
            seconds=time.perf_counter() - begin,
            latencies_ms=[round(value * 1000, 4) for value in tally.latencies_s],
            ttfts_ms=[round(value * 1000, 4) for value in tally.ttfts_s],
            chunks=tally.chunks,
            errors=tally.errors,
            error_samples=tally.samples,
            generator_cpu_ms=(time.process_time() - cpu) * 1000,
        )

    async def _connection(self, slot: int) -> None:
        """Keep one client connected until it has nothing more to send."""
        loop = asyncio.get_running_loop()
        finished = False
        while not finished and self._reconnects > 0:
            ended: asyncio.Future[bool] = loop.create_future()
            try:
                _, client = await loop.create_connection(
                    lambda ended=ended: Client(self._tally, self._next, ended.set_result),  # type: ignore[misc]
                    self._load.host,
                    self._load.port,
                )
            except OSError as error:
                self._tally.fail(f"cannot connect: {error!r}")
                return
            self._clients[slot] = client
            finished = await ended
            self._reconnects -= 1

    def _next(self) -> bytes | None:
        if self._left <= 0 or time.perf_counter() >= self._deadline:
            return None
        self._left -= 1
        return next(self._requests)

    async def _watch(self) -> None:
        """End requests that take too long."""
        while True:
            await asyncio.sleep(WATCH_S)
            limit = time.perf_counter() - self._load.timeout_s
            for client in list(self._clients.values()):
                if client.sent_at is not None and client.sent_at < limit:
                    client.abort(f"no whole reply within {self._load.timeout_s} s")


def _request(load: Load, body: bytes) -> bytes:
    head = (
        f"POST {load.path} HTTP/1.1\r\nhost: {load.host}:{load.port}\r\nauthorization: Bearer {load.api_key}\r\n"
        f"content-type: application/json\r\naccept: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def main() -> None:
    """Run the load that stdin describes; the first argument names the file of the outcome."""
    load = Load.model_validate_json(sys.stdin.buffer.read())
    Path(sys.argv[1]).write_text(uvloop.run(Generator(load).run()).model_dump_json())


if __name__ == "__main__":
    main()
