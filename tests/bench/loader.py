"""`python -m tests.bench.loader`: how many events a second become rows and are in every rollup, and what each costs in CPU.

Events are written to Kafka first and then loaded by the production process, so that the figure is the loader's own. The
embedded ClickHouse, Kafka and Postgres run on the same machine. Nothing fails on a figure.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

import psycopg
from prometheus_client.parser import text_string_to_metric_families

from deploy.local import topics as topic_setup
from deploy.local.ports import free_port
from services.analytics.migrate import migrate
from tests import engines
from tests.bench.cpu import CpuMeter
from tests.integration.analytics.process import ADMIN_TOKEN, EDGE_TOKEN, Analytics, running
from tests.integration.analytics.stories import publish, stories

DATABASE = "loading"
POLL_S = 0.1
STORIES_AT_ONCE = 5_000
DEADLINE_S = 600
ROWS = "tollbook_analytics_rows_total"


async def _publish(kafka: str, events: int) -> int:
    written = seed = 0
    while written < events:
        seed += 1
        told = [event for story in stories(STORIES_AT_ONCE, seed=seed, accounts=50, keys=20, spread_s=5) for event in story]
        await publish(kafka, told)
        written += len(told)
    return written


def _rows(analytics: Analytics) -> float:
    families = text_string_to_metric_families(analytics.get("/metrics").text)
    return sum(sample.value for family in families for sample in family.samples if sample.name == ROWS)


def measure(analytics: Analytics, events: int) -> str:
    """From the first batch to the last: the start of the process and the migrations are not counted."""
    analytics.wait_until_ready()
    meter = CpuMeter({"loader": analytics.pid})
    while (first := _rows(analytics)) == 0:
        time.sleep(POLL_S)
    meter.reset()
    begun = time.perf_counter()
    while _rows(analytics) < events:
        assert time.perf_counter() - begun < DEADLINE_S, "the loader does not come to the end"
        time.sleep(POLL_S)
    seconds, cpu_ms = time.perf_counter() - begun, meter.spent_ms()["loader"]
    loaded = events - first
    rate, each_us = loaded / seconds, cpu_ms / loaded * 1000
    return f"{loaded:,.0f} events in {seconds:.1f} s: {rate:,.0f} events/s, {each_us:.0f} us of CPU each"


def main() -> None:
    """On engines of its own."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.loader", description=__doc__)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--batch-rows", type=int, default=10_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tollbook-loading-") as home, engines.postgres_dsn() as postgres:
        with psycopg.connect(postgres, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {DATABASE}".encode())
        database_url = postgres.rsplit("/", 1)[0] + f"/{DATABASE}"
        migrate(database_url)
        with engines.kafka_bootstrap() as kafka:
            asyncio.run(topic_setup.create(kafka))
            events = asyncio.run(_publish(kafka, arguments.events))
            environment = {
                "DATABASE_URL": database_url,
                "KAFKA_BOOTSTRAP_SERVERS": kafka,
                "CLICKHOUSE_URL": "",
                "TOLLBOOK_DATA_DIR": home,
                "TOLLBOOK_PORT": str(free_port()),
                "TOLLBOOK_ADMIN_TOKEN": ADMIN_TOKEN,
                "TOLLBOOK_EDGE_TOKEN": EDGE_TOKEN,
                "TOLLBOOK_LOADER_BATCH_ROWS": str(arguments.batch_rows),
            }
            with running(Analytics("services.analytics", environment, Path(home) / "analytics.log")) as analytics:
                print(measure(analytics, events))


if __name__ == "__main__":
    main()
