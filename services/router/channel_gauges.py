"""The state of every channel as gauges, taken when somebody looks: nothing of it costs a request anything."""

from __future__ import annotations

from typing import get_args

from services.router import metrics
from services.router.breaker import State
from services.router.catalog import Catalog
from services.router.health import Health


def show(catalog: Catalog, health: Health, now: float) -> None:
    """Set the gauges of the channels of the table in force; those of other channels are gone."""
    for gauge in metrics.CHANNEL_GAUGES:
        gauge.clear()
    for channel in catalog.channels.values():
        state = health.of(channel).described(now, channel.limits)
        for name in get_args(State):
            metrics.CIRCUIT.labels(channel.id, name).set(state["circuit"] == name)
        metrics.KEYS_RESTING.labels(channel.id).set(state["keys_resting"])
        metrics.CHANNEL_IN_FLIGHT.labels(channel.id).set(state["in_flight"])
        for name, use in state["limits"].items():
            if use["limit"] is not None:
                metrics.LIMIT.labels(channel.id, name).set(use["limit"])
                metrics.LIMIT_USED.labels(channel.id, name).set(use["used"])
        for each in state["latency"]:
            labels = (channel.id, each["upstream_model"], each["of"])
            metrics.RECENT_LATENCY.labels(*labels).set(each["recent_ms"] / 1000)
