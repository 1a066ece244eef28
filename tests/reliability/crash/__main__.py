"""`python -m tests.reliability.crash --times 50`: play every row of the crash matrix so many times, and say what came of it."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Annotated

import psycopg
import typer

from deploy.local import topics
from tests import engines
from tests.reliability.crash.matrix import ROWS, rounds
from tests.reliability.crash.rig import Rig
from tests.reliability.crash.round import Row
from tests.reliability.crash.storm import running, weather

DATABASE = "crash"


def main(  # noqa: PLR0917 - each is an option of the command
    times: Annotated[int, typer.Option(help="kills per row")] = 50,
    row: Annotated[list[str] | None, typer.Option(help="only rows whose name contains this")] = None,
    random: Annotated[int, typer.Option(help="kills at random under load, after the matrix")] = 0,
    seed: Annotated[int, typer.Option(help="of the random kills")] = 1,
    first_turn: Annotated[int, typer.Option(help="where the variants begin, to go on with an earlier run")] = 0,
    home: Annotated[Path | None, typer.Option(help="keep data and logs in this empty directory")] = None,
) -> None:
    """Play the matrix and the storm on engines of their own. Ends with an error at the first thing that does not hold."""
    wanted = [each for each in ROWS if not row or any(name in each.name for name in row)]
    with tempfile.TemporaryDirectory(prefix="tollbook-crash-") as temporary:
        place = home or Path(temporary)
        place.mkdir(parents=True, exist_ok=True)
        if any(place.iterdir()):
            raise typer.BadParameter(f"{place} is not empty: data of an earlier run would be taken for this one's")
        if times:
            _play_on_engines(place, wanted, times, first_turn)
        if random:
            asyncio.run(_storm(place / "stack", random, seed))


def _play_on_engines(home: Path, wanted: list[Row], times: int, first_turn: int) -> None:
    with engines.postgres_dsn() as postgres, engines.kafka_bootstrap() as kafka:
        with psycopg.connect(postgres, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {DATABASE}".encode())
        asyncio.run(topics.create(kafka))
        rig = Rig(home, postgres.rsplit("/", 1)[0] + f"/{DATABASE}", kafka)
        asyncio.run(_play(rig, wanted, times, first_turn))


async def _play(rig: Rig, wanted: list[Row], times: int, first_turn: int) -> None:
    async with rig:
        for row in wanted:
            started = time.monotonic()
            async with rounds(rig, first_turn) as player:
                for _ in range(times):
                    await player.play(row)
            seconds = time.monotonic() - started
            print(f"{row.name}: {row.kills}: {times} kills, 0 lost, 0 double ({seconds:.0f} s)", flush=True)


async def _storm(home: Path, kills: int, seed: int) -> None:
    started = time.monotonic()
    async with running(home) as (stack, tap):
        killed, outcome = await weather(stack, tap, kills, seed)
    seconds = time.monotonic() - started
    print(f"at random under load: {killed.total()} kills, 0 lost, 0 double ({seconds:.0f} s): {dict(killed)}")
    print(f"{outcome.counts.total()} requests: {dict(outcome.counts)}", flush=True)


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(main)
    app()
