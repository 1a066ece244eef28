"""`python -m tests.reliability.outage`: what the loader needs goes away, in every way, under load."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from pathlib import Path

import psycopg

from deploy.local import topics as topic_setup
from tests import engines
from tests.reliability.outage.proving import prove, rig, whole
from tests.reliability.outage.watching import Watch
from tests.reliability.outage.ways import CLICKHOUSE_WAYS, OTHER_WAYS


def told(watch: Watch) -> str:
    """What those were answered who asked meanwhile."""
    answers = ", ".join(f"{call} {status}: {number}" for (call, status), number in sorted(watch.answers.items()))
    return f"  answers: {answers}; the slowest took {max(watch.slowest_s.values()):.1f} s"


def tell(line: str) -> None:
    """On the way, as it takes a while."""
    print(line, flush=True)


def main() -> None:
    """On engines of its own."""
    parser = argparse.ArgumentParser(prog="python -m tests.reliability.outage", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="for how long ClickHouse is away, in each way")
    parser.add_argument("--others", type=float, default=20, help="for how long Postgres and Kafka are")
    parser.add_argument("--per-second", type=float, default=2000, help="events that come in all the time")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tollbook-outage-") as home, engines.postgres_dsn() as postgres:
        with psycopg.connect(postgres, autocommit=True) as connection:
            connection.execute("CREATE DATABASE outage")
        with engines.kafka_bootstrap() as kafka:
            asyncio.run(topic_setup.create(kafka))
            with rig(Path(home), postgres.rsplit("/", 1)[0] + "/outage", kafka) as on:
                for ways, seconds in ((CLICKHOUSE_WAYS, arguments.seconds), (OTHER_WAYS, arguments.others)):
                    _, watch = asyncio.run(prove(on, ways, away_s=seconds, per_second=arguments.per_second, tell=tell))
                    tell(told(watch))
            print(f"{asyncio.run(whole(on)):,} events: 0 lost, 0 double")


if __name__ == "__main__":
    main()
