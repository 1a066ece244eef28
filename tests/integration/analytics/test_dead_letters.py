"""Poison in a topic: each bad record is set aside once, and nothing waits for it."""

from aiokafka import AIOKafkaProducer

from schemas import topics
from schemas.registry import topic_of
from services.analytics.rows.registry import TOPICS
from tests.integration.analytics.process import Analytics, running, until
from tests.integration.analytics.stories import publish, stories
from tests.integration.analytics.topic_contents import events_of

POISON = [b"{", b"[]", b'{"type":"Captured"}', b'{"type":"Unheard"}', None, b"\xff" * 40]


async def test_poison_is_set_aside_and_never_stalls(analytics: Analytics, kafka_bootstrap_servers: str) -> None:
    good = [event for story in stories(40) for event in story]
    await publish(kafka_bootstrap_servers, good[:50])
    async with AIOKafkaProducer(bootstrap_servers=kafka_bootstrap_servers) as producer:
        for topic in TOPICS:
            for value in POISON:
                await producer.send_and_wait(topic, key=b"acc_0", value=value)
    await publish(kafka_bootstrap_servers, good[50:])
    wanted = {topic: sum(topic_of(type(event)) == topic for event in good) for topic in TOPICS}
    with running(analytics):
        analytics.wait_until_ready()
        until(lambda: {topic: c["rows"] for topic, c in analytics.counts().items()} == wanted, f"rows are {wanted}")
        until(lambda: all(p["lag"] == 0 for p in analytics.get("/admin/lag").json()["partitions"]), "nothing waits")
    letters = {event["event_id"]: event["data"] for event in await events_of(kafka_bootstrap_servers, topics.DEAD)}
    places = [(letter["topic"], letter["partition"], letter["offset"]) for letter in letters.values()]
    assert len(places) == len(set(places)) == len(TOPICS) * len(POISON)
    assert {letter["consumer"] for letter in letters.values()} == {"analytics-loader"}
