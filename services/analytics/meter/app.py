"""The wiring of the meter: a Faust application over the usage samples."""

import asyncio
import socket
import time
from typing import Annotated, Any, NamedTuple

import faust
from pydantic import Field, TypeAdapter, ValidationError

from schemas import topics
from schemas.samples import ChannelSample, UsageSample
from services.analytics import metrics
from services.analytics.meter.channel_windows import LONGEST_S, PANE_S, ChannelWindows
from services.analytics.meter.judge import Judge
from services.analytics.meter.knowledge import Knowledge
from services.analytics.meter.learner import Learner
from services.analytics.meter.reporting import Reporter
from services.analytics.meter.watch import Watch
from services.analytics.meter.web import add_pages
from services.analytics.meter.windows import TokenWindows
from services.analytics.publisher import Publisher
from services.analytics.rows.decode import Poison
from services.analytics.settings import MeterSettings
from services.analytics.signals.overrides import Subject
from services.analytics.velocity import STALE_AFTER_S, Thresholds, is_untimely

APP_ID = "tollbook-analytics-meter"
WAIT_S = 0.2
SESSION_TIMEOUT_S = 6.0
SAMPLES: TypeAdapter[UsageSample | ChannelSample] = TypeAdapter(
    Annotated[UsageSample | ChannelSample, Field(discriminator="type")]
)


def build(settings: MeterSettings) -> Any:
    """The Faust application. Its windows are kept in memory and restored from their changelog topic."""
    directory = settings.data_dir / "meter"
    directory.mkdir(parents=True, exist_ok=True)
    app = faust.App(
        APP_ID,
        broker=[f"kafka://{server}" for server in settings.kafka_bootstrap_servers.split(",")],
        store="memory://",
        datadir=str(directory),
        topic_partitions=1,
        topic_replication_factor=settings.replication_factor,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
        # A killed meter that starts again takes its old place at once; one that stays away is given up after six seconds.
        # A place belongs to an address: Faust refuses one that was given to another port's, and would never become ready.
        consumer_group_instance_id=f"{APP_ID}-{socket.gethostname()}-{settings.port or 0}",
        broker_session_timeout=SESSION_TIMEOUT_S,
        broker_heartbeat_interval=SESSION_TIMEOUT_S / 3,
        web_enabled=settings.port is not None,
        web_host=settings.host,
        web_port=settings.port,
    )
    add_pages(app)
    knowledge = Knowledge(directory / "known.json")
    knowledge.recall()
    tokens = app.Table("tokens", default=list, partitions=1).tumbling(1.0, expires=STALE_AFTER_S + 60.0)
    windows = Windows(
        TokenWindows(tokens, lambda: knowledge.tags),
        ChannelWindows(app.Table("channels", default=list, partitions=1).tumbling(float(PANE_S), expires=LONGEST_S + 60.0)),
    )
    publisher = Publisher(settings.kafka_bootstrap_servers, "analytics-meter")
    thresholds = Thresholds(tokens_per_minute=settings.tokens_per_minute, by_key=settings.tokens_per_minute_by_key)
    watch = Watch(Judge(windows.tokens, windows.channels, knowledge, thresholds), time.time)
    name = f"{socket.gethostname()}-{settings.port or 0}"
    asking = (settings.analytics_url, settings.analytics_token.get_secret_value())
    reporter = Reporter(watch, *asking, name)
    _connect(app, publisher, reporter)
    _learn(app, Learner(knowledge, *asking))
    _count(app, windows, publisher, Sight(watch, reporter))
    return app


class Windows(NamedTuple):
    """Where samples are counted."""

    tokens: TokenWindows
    channels: ChannelWindows


class Sight(NamedTuple):
    """Where what was counted is judged, and told."""

    watch: Watch
    reporter: Reporter


def _connect(app: Any, publisher: Publisher, reporter: Reporter) -> None:
    """Start and stop the publisher with the application; tell analytics how things stand while the partition is ours."""
    state = {"started": False}

    async def assigned(*_: Any, **__: Any) -> None:
        if not state["started"]:
            await publisher.start()
            state["started"] = True

    async def stopped(*_: Any, **__: Any) -> None:
        await publisher.stop()

    async def tell() -> None:
        try:
            while not app.should_stop:
                if app.rebalancing or not app.assignor.assigned_actives():
                    await asyncio.sleep(WAIT_S)
                else:
                    await reporter.beat()
        finally:
            await reporter.close()

    app.on_partitions_assigned.connect(assigned)
    app.on_before_shutdown.connect(stopped)
    app.task(tell)


def _learn(app: Any, learner: Learner) -> None:
    """Follow rules and baselines for as long as the application runs."""

    async def learn() -> None:
        while not app.should_stop:
            await learner.learn()

    async def stopped(*_: Any, **__: Any) -> None:
        await learner.close()

    app.on_before_shutdown.connect(stopped)
    app.task(learn)


def _count(app: Any, windows: Windows, publisher: Publisher, sight: Sight) -> None:
    """Count each sample into its window and judge its key or channel."""
    usage = app.topic(topics.USAGE, key_serializer="raw", value_serializer="raw", acks=True)

    async def meter(stream: Any) -> None:
        async for record in stream.events():
            try:
                sample = SAMPLES.validate_json(record.value)
            except ValidationError:
                await publisher.set_aside([_poison(record.message)])
                continue
            second = int(sample.data.second.timestamp())
            sight.watch.heard_sample(second)
            if is_untimely(second, time.time()):
                continue
            metrics.METERED.inc()
            if sight.watch.see(_counted(windows, sample, second), second):
                sight.reporter.news()

    app.agent(usage)(meter)


def _counted(windows: Windows, sample: UsageSample | ChannelSample, second: int) -> Subject:
    """Count a sample; whom it is about."""
    if isinstance(sample, ChannelSample):
        windows.channels.add(sample.data, second)
        return Subject(kind="channel", id=sample.data.channel, channel=sample.data.channel)
    data = sample.data
    windows.tokens.add(data.key_id, second, data.tokens, data.batch_no, data.tags)
    return Subject(
        kind="key",
        id=data.key_id,
        key=data.key_id,
        project=data.project_id,
        account=sample.account_id,
        tags=tuple(data.tags),
        environment=sample.environment,
    )


def _poison(message: Any) -> Poison:
    return Poison(message.topic, message.partition, message.offset, "not_an_event", "the record is no sample of usage")
