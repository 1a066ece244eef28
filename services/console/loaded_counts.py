"""What ClickHouse has of each topic, and between which offsets that was true."""

import time
from typing import Any

from services.console.service_client import ServiceClient

PATIENCE_S = 20.0
POLL_S = 0.25
Places = dict[str, dict[str, int]]


def loaded_counts(analytics: ServiceClient) -> dict[str, Any]:
    """Distinct events by topic. Waits a while for a moment in which nothing is being loaded: then the count is exact.

    On a busy stack there is no such moment; `floor` and `ceiling` then leave the events in flight open.
    """
    deadline = time.monotonic() + PATIENCE_S
    while True:
        before = analytics.get("/admin/lag")["partitions"]
        counts = analytics.get("/admin/counts")
        after = analytics.get("/admin/lag")["partitions"]
        floor, ceiling = _places(before, "next"), _places(after, "end")
        if floor == ceiling or time.monotonic() > deadline:
            return {
                topic: {
                    "distinct_event_ids": counts[topic]["distinct_event_ids"],
                    "floor": floor[topic],
                    "ceiling": ceiling[topic],
                }
                for topic in counts
                if topic in floor
            }
        time.sleep(POLL_S)


def _places(partitions: list[dict[str, Any]], name: str) -> Places:
    found: Places = {}
    for row in partitions:
        found.setdefault(row["topic"], {})[str(row["partition"])] = row[name]
    return found
