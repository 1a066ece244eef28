"""I12: distinct event ids in ClickHouse = in each topic, and sums of money are those of the events, whatever is killed."""

import asyncio
import random
import signal
from pathlib import Path

import psycopg

from schemas import topics
from services.analytics.rows.registry import TOPICS
from tests.integration.analytics.ask import ask
from tests.integration.analytics.process import Analytics, running, until
from tests.integration.analytics.stories import publish, stories
from tests.integration.analytics.topic_contents import captured_nano, distinct_events, events_of

KILLS = 6
CAPTURED = """
SELECT account_id, currency, sum(amount_nano) FROM ledger FINAL WHERE type = 'Captured' GROUP BY account_id, currency
"""


def wait_until_loaded(analytics: Analytics, expected: dict[str, int]) -> None:
    """Return once every topic's rows and distinct ids are as expected."""
    wanted = {topic: {"rows": number, "distinct_event_ids": number} for topic, number in expected.items()}
    until(lambda: analytics.counts() == wanted, f"rows are {wanted}")


def captured_in_clickhouse(data_dir: Path) -> dict[tuple[str, str], int]:
    """The sum of all captures per account and currency, as ClickHouse has it."""
    return {(account, currency): total for account, currency, total in ask(data_dir, CAPTURED)}


async def kill_again_and_again(analytics: Analytics, rng: random.Random) -> None:
    """Let it load for a moment, kill -9, start again."""
    for _ in range(KILLS):
        await asyncio.to_thread(analytics.wait_until_ready)
        await asyncio.sleep(rng.uniform(0.0, 1.2))
        await asyncio.to_thread(analytics.stop, signal.SIGKILL)
        analytics.start()


async def test_killed_again_and_again_under_load_every_event_is_one_row(
    analytics: Analytics, kafka_bootstrap_servers: str, tmp_path: Path
) -> None:
    rng = random.Random(12)
    events = [event for story in stories(3000, seed=5) for event in story]
    # Some records twice, as a producer writes them whose acknowledgement was lost.
    events += rng.sample(events, 200)
    with running(analytics):
        publishing = asyncio.create_task(publish(kafka_bootstrap_servers, events, per_second=len(events) / 15))
        await kill_again_and_again(analytics, rng)
        await publishing
        wait_until_loaded(analytics, await distinct_events(kafka_bootstrap_servers, TOPICS))
        assert analytics.stop() == 0
    ledger = await events_of(kafka_bootstrap_servers, topics.LEDGER)
    assert captured_in_clickhouse(tmp_path / "data") == captured_nano(ledger)


async def test_a_replay_from_the_beginning_changes_nothing(
    analytics: Analytics, kafka_bootstrap_servers: str, migrated_url: str, tmp_path: Path
) -> None:
    await publish(kafka_bootstrap_servers, [event for story in stories(300, seed=6) for event in story])
    expected = await distinct_events(kafka_bootstrap_servers, TOPICS)
    with running(analytics):
        analytics.wait_until_ready()
        wait_until_loaded(analytics, expected)
        assert analytics.stop() == 0
    before = captured_in_clickhouse(tmp_path / "data")
    with psycopg.connect(migrated_url) as connection:
        connection.execute("DELETE FROM analytics.loader_position")
    # Batches of another size: the tokens of the first time do not help, the order keys must.
    analytics.environment["TOLLBOOK_LOADER_BATCH_ROWS"] = "700"
    with running(analytics):
        analytics.wait_until_ready()
        until(lambda: all(p["lag"] == 0 for p in analytics.get("/admin/lag").json()["partitions"]), "everything is read again")
        wait_until_loaded(analytics, expected)
        assert analytics.stop() == 0
    assert (
        captured_in_clickhouse(tmp_path / "data")
        == before
        == captured_nano(await events_of(kafka_bootstrap_servers, topics.LEDGER))
    )
    (raw,), (final,) = ask(
        tmp_path / "data", "SELECT count() FROM ledger UNION ALL SELECT count() FROM ledger FINAL ORDER BY 1 DESC"
    )
    assert raw >= final == expected[topics.LEDGER]


async def test_an_empty_store_is_filled_from_the_first_record(analytics: Analytics, kafka_bootstrap_servers: str) -> None:
    await publish(kafka_bootstrap_servers, [event for story in stories(50, seed=7) for event in story])
    expected = await distinct_events(kafka_bootstrap_servers, TOPICS)
    with running(analytics):
        analytics.wait_until_ready()
        wait_until_loaded(analytics, expected)
        analytics.stop()
    # The same Postgres, another ClickHouse: positions are those of one store.
    analytics.environment["TOLLBOOK_DATA_DIR"] += "-2"
    with running(analytics):
        analytics.wait_until_ready()
        wait_until_loaded(analytics, expected)
