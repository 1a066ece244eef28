"""A run as tables."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from tests.bench.figures import Machine, Measured, Run
from tests.bench.quantiles import Quantiles


def show(run: Run, console: Console) -> None:
    """Print everything that a reader needs to judge the figures."""
    _machine(run.machine, console)
    console.print(_load(run))
    for target in run.targets():
        if any(one.cpu_ms_per_request for one in run.of(target)):
            console.print(_cpu(target, run.of(target), run.idle_cpu_ms_per_second))
        if any(one.lags for one in run.of(target)):
            console.print(_lags(run.of(target)))
    for one in run.measured:
        for sample in one.error_samples:
            console.print(f"{one.target} {one.cell}: {sample}", style="red", markup=False, highlight=False)
    for failure in run.failures:
        console.print(failure, style="red", markup=False, highlight=False)


def _machine(machine: Machine, console: Console) -> None:
    load = " ".join(str(value) for value in machine.load_average)
    console.print(
        f"{machine.cores} cores ({machine.cpu}), {machine.memory_gib} GiB, {machine.system}, Python {machine.python},"
        f" commit {machine.commit}, load average before: {load}"
    )
    if machine.postgres:
        console.print("Postgres: " + ", ".join(f"{name}={value}" for name, value in machine.postgres.items()))
    console.print(", ".join(f"{name} {version}" for name, version in machine.versions.items()))


def _load(run: Run) -> Table:
    table = Table(title="Load, and what is added to calling the upstream directly (ms)")
    for column in ("target", "cell"):
        table.add_column(column)
    columns = ("requests/s", "p50", "p99", "added p50", "added p99", "TTFT added p50", "TTFT added p99", "CPU/chunk", "errors")
    for column in columns:
        table.add_column(column, justify="right")
    for one in run.measured:
        table.add_row(
            one.target,
            one.cell,
            f"{one.per_second:,.0f}",
            *_pair(one.latency),
            *_pair(one.latency_added),
            *_pair(one.ttft_added),
            _number(one.cpu_ms_per_chunk),
            f"[red]{one.errors}[/red]" if one.errors else "0",
        )
    return table


def _cpu(target: str, measured: list[Measured], idle: dict[str, float]) -> Table:
    table = Table(title=f"{target}: CPU ms per request by process")
    table.add_column("cell")
    names = list(measured[0].cpu_ms_per_request)
    for name in (*names, "sum"):
        table.add_column(name, justify="right")
    for one in measured:
        spent = [one.cpu_ms_per_request.get(name) for name in names]
        table.add_row(one.cell, *[_number(value) for value in spent], _number(one.cpu_ms))
    if idle.keys() >= set(names):
        table.add_row("idle, ms per s", *[_number(idle[name]) for name in names], _number(sum(idle.values())))
    return table


def _lags(measured: list[Measured]) -> Table:
    table = Table(title="Event to posted ledger, and to queryable row (ms)")
    table.add_column("cell")
    for column in ("ledger p50", "ledger p99", "requests", "ClickHouse p50", "ClickHouse p99", "events", "drained after s"):
        table.add_column(column, justify="right")
    for one in measured:
        if one.lags:
            ledger, warehouse = one.lags.event_to_ledger, one.lags.event_to_clickhouse
            counts = f"{ledger.count:,}", f"{warehouse.count:,}"
            drained = f"{one.lags.drain_seconds:.1f}"
            table.add_row(one.cell, *_pair(ledger), counts[0], *_pair(warehouse), counts[1], drained)
    return table


def _pair(found: Quantiles | None) -> tuple[str, str]:
    return ("", "") if found is None else (_number(found.p50_ms), _number(found.p99_ms))


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.2f}"
