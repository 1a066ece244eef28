"""`python -m tests.reliability.faults storm --requests 5000`, `… fuzz --bodies 10000 --replies 2000`: on a stack of its own."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from deploy.local.home import read_json
from deploy.local.stack import Stack
from tests.e2e.driver import Driver
from tests.reliability.faults.fuzz import fuzz_bodies, fuzz_upstreams
from tests.reliability.faults.storm import Storm
from tests.reliability.faults.storm import storm as run_storm
from tests.reliability.faults.world import World
from tests.reliability.progress import Progress

SETTINGS = {
    "TOLLBOOK_REQUEST_DEADLINE_SECONDS": "25",
    "TOLLBOOK_UPSTREAM_FIRST_BYTE_TIMEOUT_SECONDS": "3",
    "TOLLBOOK_UPSTREAM_READ_TIMEOUT_SECONDS": "5",
    "TOLLBOOK_BACKOFF_BASE_SECONDS": "0.02",
}
PROCESSES = ("provider", "settlement", "settlement-worker", "router", "edge")
ANSWERED = 0.999
app = typer.Typer(add_completion=False)


@app.command()
def storm(
    requests: Annotated[int, typer.Option(help="how many")] = 5_000, seed: Annotated[int, typer.Option(help="of chance")] = 4
) -> None:
    """A third of what the primaries are asked goes wrong; one healthy backup answers."""

    async def run(described: dict[str, Any]) -> Storm:
        async with Driver(described) as driver:
            return await run_storm(World(driver), requests, Progress("storm", requests), silent=True, seed=seed)

    with _stack() as described:
        found = asyncio.run(run(described))
    typer.echo(str(found))
    if found.books.wrong or found.answered < found.asked * ANSWERED:
        typer.echo(f"not answered: {found.unanswered}")
        raise typer.Exit(1)


@app.command()
def fuzz(
    bodies: Annotated[int, typer.Option(help="fuzzed request bodies")] = 10_000,
    replies: Annotated[int, typer.Option(help="requests over upstreams with fuzzed replies")] = 2_000,
    seed: Annotated[int, typer.Option(help="of chance")] = 5,
    home: Annotated[Path | None, typer.Option(help="keep data and logs in this empty directory")] = None,
) -> None:
    """Nothing is answered with a failure of ours, no hold is lost, every charge is exact."""

    async def run(described: dict[str, Any]) -> list[str]:
        wrong: list[str] = []
        async with Driver(described) as driver:
            for proof, count in ((fuzz_bodies, bodies), (fuzz_upstreams, replies)):
                if count:
                    found = await proof(World(driver), count, Progress(proof.__name__, count), seed=seed)
                    typer.echo(str(found))
                    wrong += found.books.wrong
        return wrong

    with _stack(home) as described:
        if asyncio.run(run(described)):
            raise typer.Exit(1)


@contextmanager
def _stack(kept: Path | None = None) -> Iterator[dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="tollbook-faults-", ignore_cleanup_errors=True) as home:
        stack = Stack(kept or Path(home), environ=os.environ | SETTINGS, fixed_ports=False)
        try:
            stack.up(PROCESSES)
            yield read_json(stack.home.stack_file)
        finally:
            if kept is None:
                stack.clean()
            else:
                stack.down()


if __name__ == "__main__":
    app()
