"""Kill the loader with SIGKILL at every point of a batch, again and again; read everything anew: ClickHouse is what Kafka is.

`python -m tests.reliability.loader --times 50`. Ends with an assertion at the first row, sum or rollup that differs.
Five rounds have a Kafka, a Postgres and a store of their own, since a check reads all that was ever written there and a
killed process never merges; a victim mostly waits, so that several such places do it side by side.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import random
import signal
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from deploy.local import topics as topic_setup
from schemas import topics
from schemas.envelope import Event
from services.analytics.migrate import migrate
from tests import engines
from tests.integration.analytics.rollup_fold import fold
from tests.integration.analytics.stories import publish, stories
from tests.integration.analytics.topic_contents import captured_nano, events_of
from tests.reliability.loader_victim import POINTS, Place, finished, held, killed_at, other_batches

BOOKS = (topics.REQUESTS, topics.ATTEMPTS, topics.LEDGER)
TABLES_OF = {topics.REQUESTS: ("requests",), topics.ATTEMPTS: ("attempts", "completions"), topics.LEDGER: ("ledger",)}
STORIES = 20
MOST_STORIES = 1000
ROUNDS_OF_A_PLACE = 5
DATABASE = "loader"


async def kill_at_each(place: Place, points: Sequence[str], *, seed: int) -> None:
    """One loader after the other, each with something to load, each killed at its point; then one that may end.

    An even seed kills while a batch is placed for the first time, an odd one also while a killed one is placed again.
    """
    rng = random.Random(seed)
    for number, point in enumerate(points):
        told = _of_every_kind(seed * 1000 + number)
        # Some twice, as a producer writes them whose acknowledgement was lost.
        await publish(place.kafka, [*told, *rng.sample(told, 5)])
        victim = killed_at(point, place, fresh=seed % 2 == 0)
        await asyncio.to_thread(victim.join)
        assert victim.exitcode == -signal.SIGKILL, f"{point}: the loader ended with {victim.exitcode} before it came there"
    await run_to_the_end(place)


def _of_every_kind(seed: int) -> list[Event]:
    """Some stories, and as many more as it takes until one was rejected and one fell back: each rollup has something to add."""
    told: list[Event] = []
    for number, story in enumerate(stories(MOST_STORIES, seed=seed, spread_s=1000)):
        told += story
        if number >= STORIES and {"RequestRejected", "FallbackTaken"} <= {event.type for event in told}:
            break
    return told


async def run_to_the_end(place: Place) -> None:
    """A loader that nobody kills, until nothing is left."""
    survivor = finished(place)
    await asyncio.to_thread(survivor.join)
    assert survivor.exitcode == 0


async def read_again(place: Place, rows: int) -> None:
    """Lose the positions, so that everything is read from offset 0, in batches of another size."""
    with psycopg.connect(place.database_url) as connection:
        connection.execute("DELETE FROM analytics.loader_position")
    await run_to_the_end(other_batches(place, rows))


async def check(place: Place) -> int:
    """ClickHouse's rows, money and rollups are those of Kafka's distinct events; how many there are."""
    events = {topic: await events_of(place.kafka, topic) for topic in BOOKS}
    found = await asyncio.to_thread(held, place)
    for topic, tables in TABLES_OF.items():
        distinct = len({event["event_id"] for event in events[topic]})
        rows, ids = (sum(found.rows[table][n] for table in tables) for n in (0, 1))
        assert rows == ids == distinct, f"{topic}: {distinct} events, {rows} rows of {ids} events"
    assert found.captured == captured_nano(events[topics.LEDGER])
    everything: list[dict[str, Any]] = [event for topic in BOOKS for event in events[topic]]
    assert found.rollups == fold(everything)
    return len({event["event_id"] for event in everything})


async def prove(place: Place, rounds: range) -> int:
    """Every point once a round; a check after each; at the end everything read again in other batches. How many events."""
    distinct = 0
    for number in rounds:
        started, again = time.monotonic(), ""
        await kill_at_each(place, POINTS, seed=number)
        if number == rounds[-1]:
            await check(place)
            await read_again(place, 700)
            again = ", everything read again from offset 0"
        distinct = await check(place)
        print(f"round {number}: {distinct:,} events, 0 lost, 0 double ({time.monotonic() - started:.0f} s{again})", flush=True)
    return distinct


@contextmanager
def fresh_place() -> Iterator[Place]:
    """Engines of its own, and an empty store."""
    with tempfile.TemporaryDirectory(prefix="tollbook-loader-") as home, engines.postgres_dsn() as postgres:
        with psycopg.connect(postgres, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {DATABASE}".encode())
        database_url = postgres.rsplit("/", 1)[0] + f"/{DATABASE}"
        migrate(database_url)
        with engines.kafka_bootstrap() as kafka:
            asyncio.run(topic_setup.create(kafka))
            yield Place(database_url, kafka, Path(home))


def prove_in_a_place(rounds: range) -> int:
    """So many rounds in a place of their own; how many events there were."""
    with fresh_place() as place:
        return asyncio.run(prove(place, rounds))


def main() -> None:
    """All rounds."""
    parser = argparse.ArgumentParser(prog="python -m tests.reliability.loader", description=__doc__)
    parser.add_argument("--times", type=int, default=50, help="kills per point")
    parser.add_argument("--first", type=int, default=1, help="the round to begin with")
    parser.add_argument("--side-by-side", type=int, default=2, help="places at once")
    arguments = parser.parse_args()
    rounds = range(arguments.first, arguments.times + 1)
    parts = [rounds[first : first + ROUNDS_OF_A_PLACE] for first in range(0, len(rounds), ROUNDS_OF_A_PLACE)]
    started, events = time.monotonic(), 0
    # Processes, not threads: whoever starts one looks after all of its process, and takes the end of another thread's victim.
    with ProcessPoolExecutor(arguments.side_by_side, multiprocessing.get_context("spawn")) as places:
        for done in as_completed([places.submit(prove_in_a_place, part) for part in parts]):
            events += done.result()
    kills = len(rounds) * len(POINTS)
    print(f"{kills:,} kills at {len(POINTS)} points, {events:,} events in {time.monotonic() - started:.0f} s: 0 lost, 0 double")


if __name__ == "__main__":
    main()
