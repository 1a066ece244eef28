"""The velocity meter as a process on a real Kafka: one alert from excess to calm, whatever is killed in between."""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from aiokafka import AIOKafkaProducer

from deploy.local.ports import free_port
from schemas import topics
from schemas.alerts import VelocityAlert
from schemas.samples import OPERATOR, ChannelSample, ChannelSampleData, UsageSample, UsageSampleData
from tests.integration.analytics.process import ADMIN_TOKEN, SERVICE_TOKEN, Analytics, running
from tests.integration.analytics.stories import publish, stories
from tests.integration.analytics.topic_contents import events_of

THRESHOLD = 50_000
DEADLINE_S = 150


@pytest.fixture
def meter(kafka_bootstrap_servers: str, analytics: Analytics, tmp_path: Path) -> Analytics:
    """The meter as a process, not started."""
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": kafka_bootstrap_servers,
        "TOLLBOOK_ANALYTICS_URL": analytics.url,
        "TOLLBOOK_ANALYTICS_TOKEN": SERVICE_TOKEN,
        "TOLLBOOK_DATA_DIR": str(tmp_path / "data"),
        "TOLLBOOK_VELOCITY_TOKENS_PER_MINUTE": str(THRESHOLD),
        "TOLLBOOK_VELOCITY_TOKENS_PER_MINUTE_BY_KEY": '{"generous": 1000000}',
    }
    return Analytics("services.analytics.meter", environment, tmp_path / "meter.log")


@pytest.fixture
def key_id() -> str:
    """A key of its own for each test, as the topics are shared by the module."""
    return uuid4().hex[:12]


def sample(key_id: str, tokens: int, *, age_s: int = 0, batch_no: int | None = None) -> UsageSample:
    """What a key used in one second, `age_s` seconds ago."""
    second = datetime.fromtimestamp(int(time.time()) - age_s, UTC)
    data = UsageSampleData(project_id="prj", key_id=key_id, second=second, requests=1, tokens=tokens, batch_no=batch_no)
    return UsageSample(account_id="acc", environment="production", data=data)


async def alerts_of(meter: Analytics, key_id: str) -> list[VelocityAlert]:
    """The alerts of one key, in order."""
    found = await events_of(meter.environment["KAFKA_BOOTSTRAP_SERVERS"], topics.ALERTS)
    alerts = [VelocityAlert.model_validate(event) for event in found if event["type"] == "VelocityAlert"]
    return [alert for alert in alerts if alert.data.subject_id == key_id]


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    """Return once the condition holds; fails at the deadline."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            if await condition():
                return
            await asyncio.sleep(0.1)


async def states(meter: Analytics, key_id: str, wanted: list[str]) -> list[VelocityAlert]:
    """The alerts of the key once their states are as wanted."""

    async def are_as_wanted() -> bool:
        return [alert.data.state for alert in await alerts_of(meter, key_id)] == wanted

    await eventually(are_as_wanted)
    return await alerts_of(meter, key_id)


async def has_read_all(meter: Analytics) -> None:
    """Return once the meter has read everything that was told before: it says so by firing for a sample told after it."""
    marker = f"marker{uuid4().hex[:8]}"
    await publish(meter.environment["KAFKA_BOOTSTRAP_SERVERS"], [sample(marker, 10 * THRESHOLD)])
    await states(meter, marker, ["firing"])


async def test_a_key_fires_once_above_its_threshold_and_is_resolved_once(
    meter: Analytics, analytics: Analytics, key_id: str
) -> None:
    kafka = meter.environment["KAFKA_BOOTSTRAP_SERVERS"]
    with running(analytics), running(meter):
        again = sample("again", THRESHOLD * 3 // 5, batch_no=7)
        await publish(kafka, [again, again])
        # Of a minute that is nearly over: so it is calm again without the test waiting a minute.
        await publish(kafka, [sample(key_id, THRESHOLD // 2, age_s=55), sample(key_id, THRESHOLD // 2, age_s=54)])
        await publish(
            kafka, [sample(key_id, 1, age_s=53), sample(key_id, THRESHOLD, age_s=52), sample("generous", 10 * THRESHOLD)]
        )
        fired, resolved = await states(meter, key_id, ["firing", "resolved"])
        assert meter.stop() == 0
    assert fired.data.alert_id == resolved.data.alert_id
    assert (fired.account_id, fired.environment, fired.data.subject_kind) == ("acc", "production", "key")
    assert (fired.data.observed, fired.data.threshold) == (THRESHOLD + 1, THRESHOLD)
    assert resolved.data.observed < THRESHOLD
    assert [await alerts_of(meter, name) for name in ("generous", "again")] == [[], []]


async def test_a_killed_meter_fires_nothing_twice_and_still_resolves(
    meter: Analytics, analytics: Analytics, key_id: str
) -> None:
    kafka = meter.environment["KAFKA_BOOTSTRAP_SERVERS"]
    with running(analytics), running(meter):
        await publish(kafka, [sample(key_id, 5 * THRESHOLD, age_s=40)])
        (fired,) = await states(meter, key_id, ["firing"])
        for _ in range(2):
            meter.stop(signal.SIGKILL)
            await publish(kafka, [sample(key_id, 5 * THRESHOLD, age_s=40)])
            meter.start()
            await has_read_all(meter)
        assert [alert.data.state for alert in await alerts_of(meter, key_id)] in (["firing"], ["firing", "resolved"])
        _, resolved = await states(meter, key_id, ["firing", "resolved"])
    assert resolved.data.alert_id == fired.data.alert_id


async def test_a_meter_that_comes_back_at_another_port_goes_on(meter: Analytics, analytics: Analytics, key_id: str) -> None:
    first, second = free_port(), free_port()
    meter.environment |= {"TOLLBOOK_HOST": "127.0.0.1", "TOLLBOOK_PORT": str(first)}
    with running(analytics), running(meter):
        meter.wait_until_ready()
        meter.stop(signal.SIGKILL)
        meter.environment["TOLLBOOK_PORT"] = str(second)
        meter.start()
        meter.wait_until_ready()
        await publish(meter.environment["KAFKA_BOOTSTRAP_SERVERS"], [sample(key_id, 5 * THRESHOLD)])
        await states(meter, key_id, ["firing"])


async def test_a_record_that_is_no_sample_is_set_aside(meter: Analytics, analytics: Analytics, key_id: str) -> None:
    kafka = meter.environment["KAFKA_BOOTSTRAP_SERVERS"]
    with running(analytics), running(meter):
        async with AIOKafkaProducer(bootstrap_servers=kafka) as producer:
            await producer.send_and_wait(topics.USAGE, key=b"acc", value=b'{"type":"UsageSample"}')
        await publish(kafka, [sample(key_id, 5 * THRESHOLD)])
        await states(meter, key_id, ["firing"])
    letters = {letter["event_id"]: letter["data"] for letter in await events_of(kafka, topics.DEAD)}
    # The meter reads at least once: what it sets aside again after a rebalance is the same letter.
    assert [(letter["topic"], letter["consumer"]) for letter in letters.values()] == [(topics.USAGE, "analytics-meter")]


async def test_a_runaway_key_is_an_alert_on_the_dashboard(meter: Analytics, analytics: Analytics) -> None:
    kafka = meter.environment["KAFKA_BOOTSTRAP_SERVERS"]
    with running(analytics), running(meter):
        await asyncio.to_thread(analytics.wait_until_ready)
        # Some 1,700 tokens each: one key passes the threshold within its first forty requests.
        await publish(kafka, [event for story in stories(60, accounts=1, keys=1) for event in story])
        await states(meter, "key000000000", ["firing"])

        async def shown() -> bool:
            alerts = await asyncio.to_thread(lambda: analytics.get("/admin/alerts").json()["data"])
            return [(a["state"], a["observed"] > THRESHOLD) for a in alerts if a["subject_id"] == "key000000000"] == [
                ("firing", True)
            ]

        await eventually(shown)


RULES = """
rules:
  - id: quick
    signal: tokens_per_minute_by_key
    floor: 1000
    overrides: [{match: {tag: "job=nightly"}, enabled: false}]
  - {id: broken, signal: error_rate_by_channel, floor: 0.2, at_least: 5, keep: 1s}
"""


def channel_sample(channel: str, failed: int) -> ChannelSample:
    """What a channel did in the second that is now: ten attempts."""
    counts = {"attempts": 10, "failed": failed, "tokens": 100, "burned_attempts": 0, "burned_tokens": 0}
    second = datetime.fromtimestamp(int(time.time()), UTC)
    return ChannelSample(account_id=OPERATOR, data=ChannelSampleData(channel=channel, second=second, **counts))


def nightly(sample: UsageSample) -> UsageSample:
    """The same, of a key whose requests carry a tag."""
    return sample.model_copy(update={"data": sample.data.model_copy(update={"tags": ["job=nightly"]})})


async def test_the_meter_judges_keys_and_channels_by_the_rules_that_are_applied_and_remembers_them(
    meter: Analytics, analytics: Analytics, key_id: str
) -> None:
    kafka = meter.environment["KAFKA_BOOTSTRAP_SERVERS"]
    channel, quiet = f"ch-{key_id}", f"quiet-{key_id}"
    known = Path(meter.environment["TOLLBOOK_DATA_DIR"]) / "meter" / "known.json"

    async def has_learnt() -> bool:
        kept = known.read_text("utf-8") if known.is_file() else ""
        return '"version":1' in kept and '"hour":0' not in kept

    async def has_applied() -> bool:
        headers = {"authorization": f"Bearer {ADMIN_TOKEN}"}
        async with httpx.AsyncClient(base_url=analytics.url, headers=headers, timeout=30) as client:
            try:
                return (await client.put("/admin/alert-rules", content=RULES)).status_code == 200
            except httpx.TransportError:
                return False

    with running(analytics), running(meter):
        await eventually(has_applied)
        await eventually(has_learnt)
        await publish(kafka, [channel_sample(quiet, 1), nightly(sample(f"n{key_id}", 900_000))])
        await publish(kafka, [channel_sample(channel, 9), sample(key_id, 1_001)])
        (fired,), (broken,) = await states(meter, key_id, ["firing"]), await states(meter, channel, ["firing"])
        assert (fired.data.threshold, fired.data.observed) == (1_000, 1_001)
        assert (broken.data.signal, broken.data.subject_kind) == ("error_rate_by_channel", "channel")
        assert (broken.data.observed, broken.data.threshold) == (0.9, 0.2)
        assert [await alerts_of(meter, name) for name in (quiet, f"n{key_id}")] == [[], []]
