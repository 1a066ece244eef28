"""`python -m tests.reliability.propagation --times 20`: changes under load, and how soon every instance obeys each."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from tests.reliability.ground import ground
from tests.reliability.propagation.restarts import compacts, restarts
from tests.reliability.propagation.twins import running
from tests.reliability.propagation.watching import watching

SECOND_MS = 1_000


def main(times: Annotated[int, typer.Option(help="how often each change is made, there and back")] = 20) -> None:
    """Freezes, prices, routes, rotated keys and budgets, each obeyed by every instance; then restarts and a compacted topic."""
    with tempfile.TemporaryDirectory(prefix="tollbook-propagation-") as name, ground(kafka=True) as on:
        directory = Path(name)
        with running(directory, on.database_url, on.kafka) as twins:
            with watching(twins, directory) as watch:
                for kind in watch.changes.kinds:
                    watch.prove(kind, times)
                    _say(kind, watch.found.delays_ms[kind])
            found = watch.judge()
            restarts(twins)
            before, after = compacts(twins)
    typer.echo(f"load average {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores")
    typer.echo(f"{found.requests} requests, {found.refusals} refused as intended, {found.receipts} receipts checked")
    typer.echo(f"the control topic was compacted from {before} records to {after}, and read anew to the same state")
    for wrong in found.wrong[:20]:
        typer.echo(wrong)
    if found.wrong:
        raise typer.Exit(1)


def _say(kind: str, delays_ms: list[float]) -> None:
    ordered = sorted(delays_ms)
    middle, most = ordered[len(ordered) // 2], ordered[-1]
    late = sum(delay > SECOND_MS for delay in delays_ms)
    typer.echo(f"{kind:<10} {len(ordered):>4} observations   p50 {middle:6.0f} ms   max {most:6.0f} ms   over a second {late}")


if __name__ == "__main__":
    typer.run(main)
