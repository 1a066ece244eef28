"""One run: the upstream alone, Tollbook, then the peers, cell by cell."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from tests.bench import ledger, machine, peers
from tests.bench.cells import Cell
from tests.bench.cpu import CpuMeter
from tests.bench.errors import BenchError
from tests.bench.figures import Lags, Measured, Run, compared
from tests.bench.load import Outcome
from tests.bench.quantiles import quantiles
from tests.bench.stack import RunningStack
from tests.bench.target import Target, drive, warm_up
from tests.bench.upstream import simulator

DIRECT = "direct"
DIRECT_S_MAX = 5.0
IDLE_S = 5.0
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run. `stack` None leaves Tollbook out."""

    cells: Sequence[Cell]
    seconds: float
    stack: RunningStack | None
    with_peers: bool
    say: Say


def run(plan: Plan) -> Run:
    """Run it all. A part that fails ends there, and what was measured until then is kept."""
    failures: list[str] = []
    started_at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    dsn = plan.stack.file.postgres_dsn if plan.stack else None
    described = machine.describe(ledger.settings(dsn) if dsn else {}, peers.versions() if plan.with_peers else {})
    idle = _idle(plan.stack) if plan.stack else {}
    measured: list[Measured] = []
    with _provider(plan.stack) as provider_url:
        for part in _parts(plan, provider_url):
            try:
                for one in part:
                    measured.append(one)  # noqa: PERF402  # what came before a failure is kept
            except BenchError as error:
                failures.append(str(error))
    return Run(
        started_at=started_at,
        seconds_per_cell=plan.seconds,
        machine=described,
        idle_cpu_ms_per_second=idle,
        measured=compared(measured, DIRECT, sum(idle.values())),
        failures=failures,
    )


def _idle(stack: RunningStack) -> dict[str, float]:
    """CPU of every process while nothing is asked of it: at a low rate it weighs in every figure per request."""
    stack.wait_drained()
    meter = CpuMeter(stack.pids())
    time.sleep(IDLE_S)
    return {name: spent / IDLE_S for name, spent in meter.spent_ms().items()}


def _parts(plan: Plan, provider_url: str) -> Iterator[Iterator[Measured]]:
    yield _direct(plan, provider_url)
    if plan.stack:
        yield _tollbook(plan, plan.stack)
    if plan.with_peers:
        yield _peers(plan, provider_url)


@contextmanager
def _provider(stack: RunningStack | None) -> Iterator[str]:
    """The stack's simulator, or one of our own."""
    if stack is not None and stack.file.provider_url:
        yield stack.file.provider_url
        return
    with simulator() as url:
        yield url


def _direct(plan: Plan, provider_url: str) -> Iterator[Measured]:
    target = Target(DIRECT, f"{provider_url}/bench/v1", "sk-any")
    for cell in plan.cells:
        plan.say(f"{target.name} {cell.name}")
        warm_up(target, cell)
        yield _measured(target, cell, drive(target, cell, min(plan.seconds, DIRECT_S_MAX)), {})


def _tollbook(plan: Plan, stack: RunningStack) -> Iterator[Measured]:
    account_id, target = stack.open_account(f"bench-{int(time.time())}")
    for cell in plan.cells:
        plan.say(f"{target.name} {cell.name}")
        warm_up(target, cell)
        stack.wait_drained()
        meter = CpuMeter(target.pids)
        outcome = drive(target, cell, plan.seconds)
        drain_s = stack.wait_drained()
        spent_ms = meter.spent_ms()
        lags = Lags(
            event_to_ledger=ledger.event_to_ledger(stack.file.postgres_dsn, [account_id], outcome.started_at),
            event_to_clickhouse=stack.clickhouse_lag(),
            drain_seconds=drain_s,
        )
        yield _measured(target, cell, outcome, spent_ms).model_copy(update={"lags": lags})


def _peers(plan: Plan, provider_url: str) -> Iterator[Measured]:
    with peers.litellm(provider_url) as target:
        for cell in plan.cells:
            if cell.chunk_ms:
                continue  # the pace is set by metadata, which LiteLLM does not pass on
            plan.say(f"{target.name} {cell.name}")
            warm_up(target, cell)
            meter = CpuMeter(target.pids)
            outcome = drive(target, cell, plan.seconds)
            yield _measured(target, cell, outcome, meter.spent_ms())


def _measured(target: Target, cell: Cell, outcome: Outcome, spent_ms: dict[str, float]) -> Measured:
    requests = max(outcome.requests, 1)
    return Measured(
        target=target.name,
        cell=cell.name,
        connections=cell.connections,
        stream=cell.stream,
        requests=outcome.requests,
        seconds=outcome.seconds,
        per_second=outcome.per_second,
        latency=quantiles(outcome.latencies_ms),
        ttft=quantiles(outcome.ttfts_ms),
        chunks=outcome.chunks,
        errors=outcome.errors,
        error_samples=outcome.error_samples,
        generator_cpu_ms_per_request=outcome.generator_cpu_ms / requests,
        cpu_ms_per_request={name: spent / requests for name, spent in spent_ms.items()},
    )
