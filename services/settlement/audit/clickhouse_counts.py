"""I12: every distinct event of a topic is in ClickHouse, once. What ClickHouse has is told by whoever asks for the check."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from schemas import topics
from services.settlement.audit.audit_store import Loaded
from services.settlement.audit.shadow import Shadow
from services.settlement.audit.topic_reader import TopicReader
from services.settlement.audit.topic_rows import event_id_rows, set_aside

LOADER = "analytics"
"""Who sets records of the loaded topics aside, as its dead letters name it."""


async def unequal_counts(
    shadow: Shadow, reader: TopicReader, loaded: Mapping[str, Loaded], progress: Callable[[str], None]
) -> list[dict[str, Any]]:
    """The topics whose distinct events are more or fewer than ClickHouse has. An exact floor leaves no room at all."""
    aside: set[tuple[str, int, int]] = set()
    async for records in reader.read(topics.DEAD, begins={}, ends=await reader.ends(topics.DEAD)):
        aside.update(set_aside(records, LOADER))
    wrong: list[dict[str, Any]] = []
    for topic, has in loaded.items():
        nameless: list[str] = []
        async for records in reader.read(topic, begins={}, ends=has.ceiling):
            rows, unnamed = event_id_rows(records, frozenset(aside))
            shadow.add_event_ids(rows)
            nameless += unnamed
        least = await asyncio.to_thread(shadow.distinct_ids, topic, has.floor)
        most = await asyncio.to_thread(shadow.distinct_ids, topic, has.ceiling)
        progress(f"{topic}: {most} distinct events, ClickHouse has {has.distinct_event_ids}")
        if nameless or not least <= has.distinct_event_ids <= most:
            wrong.append(
                {
                    "topic": topic,
                    "clickhouse": has.distinct_event_ids,
                    "at_least": least,
                    "at_most": most,
                    "neither_row_nor_dead_letter": nameless[:3],
                }
            )
    return wrong
