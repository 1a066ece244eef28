"""How many holds per second one wallet takes: one per call by many clients, and gathered into larger calls as by the API."""

import asyncio
import os
import time
from dataclasses import dataclass
from typing import Any

from schemas.calls import HoldRequest
from services.settlement.coalescer import Coalescer
from services.settlement.hold_store import HoldLane
from tests.bench.cpu import CpuMeter
from tests.integration.settlement.ledger import TIMEOUT_MS, Ledger
from tests.reliability.ground import Ground, engine_pids
from tests.reliability.population import usual_hold
from tests.reliability.settle_rates import forget_outbox

WAITING = 1024
"""Callers that wait for the gathered calls at any time."""


@dataclass(frozen=True, slots=True)
class HoldRate:
    """One run on one wallet, and CPU in microseconds per hold: Postgres' own and the asking process's."""

    how: str
    holds: int
    seconds: float
    cpu_us: dict[str, float]

    @property
    def per_second(self) -> float:
        """Holds granted per second."""
        return self.holds / self.seconds

    def __str__(self) -> str:
        cpu = ", ".join(f"{name} {spent:.0f}" for name, spent in self.cpu_us.items())
        return f"{self.how}: {self.per_second:,.0f} holds/s over {self.holds:,}; CPU us per hold: {cpu}"


def one_per_call(on: Ground, ledger: Ledger, account: str, *, clients: int, holds: int, words: str) -> HoldRate:
    """Every client asks for one hold after the other, each on a connection of its own."""
    shares = [[usual_hold(account) for _ in range(holds // clients)] for _ in range(clients)]

    async def ask(lane: HoldLane, requests: list[HoldRequest]) -> None:
        for request in requests:
            _must_be_held(await lane.place([request]))

    async def run() -> tuple[float, dict[str, float]]:
        lanes = [_lane(ledger) for _ in shares]
        await asyncio.gather(*(lane.place([usual_hold(account)]) for lane in lanes))
        meter, started = _meter(on), time.monotonic()
        await asyncio.gather(*(ask(lane, requests) for lane, requests in zip(lanes, shares, strict=True)))
        seconds, spent = time.monotonic() - started, meter.spent_ms()
        await asyncio.gather(*(lane.close() for lane in lanes))
        return seconds, spent

    return _rate(ledger, f"{clients} clients, one hold per call{words}", clients * (holds // clients), asyncio.run(run()))


def gathered(on: Ground, ledger: Ledger, account: str, *, per_call: int, holds: int, words: str) -> HoldRate:
    """Many callers ask for one hold each; the API's coalescer makes calls of at most `per_call` of them, on one connection."""
    requests = iter([usual_hold(account) for _ in range(holds)])

    async def ask(coalescer: Coalescer[HoldRequest, dict[str, Any]]) -> None:
        for request in requests:
            _must_be_held(await coalescer.submit([request]))

    async def run() -> tuple[float, dict[str, float]]:
        lane = _lane(ledger)
        await lane.place([usual_hold(account)])
        coalescer: Coalescer[HoldRequest, dict[str, Any]] = Coalescer([lane.place], limit=per_call, capacity=2 * WAITING)
        coalescer.start()
        meter, started = _meter(on), time.monotonic()
        await asyncio.gather(*(ask(coalescer) for _ in range(WAITING)))
        seconds, spent = time.monotonic() - started, meter.spent_ms()
        await coalescer.stop()
        await lane.close()
        return seconds, spent

    return _rate(ledger, f"gathered, at most {per_call} holds per call{words}", holds, asyncio.run(run()))


def _rate(ledger: Ledger, how: str, holds: int, measured: tuple[float, dict[str, float]]) -> HoldRate:
    forget_outbox(ledger)
    seconds, spent = measured
    return HoldRate(how, holds, seconds, {name: 1000 * ms / holds for name, ms in spent.items()})


def _lane(ledger: Ledger) -> HoldLane:
    return HoldLane(
        ledger.url,
        books=ledger.books,
        stop=ledger.frozen.stop,
        default_output=4096,
        floor_output=256,
        timeout_ms=TIMEOUT_MS,
    )


def _meter(on: Ground) -> CpuMeter:
    return CpuMeter({"postgres": engine_pids(on)["postgres"], "asking": os.getpid()})


def _must_be_held(answers: list[dict[str, Any]]) -> None:
    assert all(answer["status"] == "held" for answer in answers), answers
