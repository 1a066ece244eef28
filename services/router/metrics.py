"""Every metric of router, in one place."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

REQUESTS = Counter("tollbook_router_requests_total", "Requests by how they ended", ["outcome", "error_class"])
REFUSALS = Counter("tollbook_router_refusals_total", "Requests refused before any upstream call", ["code"])
ATTEMPTS = Counter("tollbook_router_attempts_total", "Upstream calls by channel and how they ended", ["channel", "result"])
FALLBACKS = Counter("tollbook_router_fallbacks_total", "Moves of a plan to another channel", ["reason"])
OVERHEAD = Histogram(
    "tollbook_router_overhead_seconds",
    "Time of a request that was not spent in upstream calls",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5),
)
IN_FLIGHT = Gauge("tollbook_router_in_flight", "Requests under way")
HOLDS_ASKED = Counter("tollbook_router_hold_calls_total", "Calls to settlement for holds", ["result"])
HOLD_OVERRUNS = Counter("tollbook_router_hold_overruns_total", "Attempts whose reported usage costs more than their hold")
PROGRESS_FAILURES = Counter("tollbook_router_progress_failures_total", "Progress reports that settlement did not take")
EVENTS = Counter("tollbook_router_events_total", "Events by the way that they took", ["way"])
LOG_AWAY = Gauge("tollbook_router_log_away", "1 while Kafka does not acknowledge and events go to the ingress")
CONTROL_POSITION = Gauge("tollbook_router_control_position", "Offset up to which the control topic is read and obeyed")
CONTROL_SILENT = Gauge("tollbook_router_control_silent_seconds", "Time since the control topic was last read to its end")
CHANNELS_FROZEN = Gauge("tollbook_router_channels_frozen", "Channels that operators took out of use")
TABLE_VERSION = Gauge("tollbook_router_table_version", "Version of the route table in force")
DESTINATIONS_REFUSED = Counter(
    "tollbook_router_destinations_refused_total", "Connections not made because their address is one that no key is sent to"
)
CHANNELS_OUT = Gauge("tollbook_router_channels_out_of_service", "Channels of the table in force that have no key to use")
SECRETS_TO_RESEAL = Gauge(
    "tollbook_router_secrets_to_reseal", "Secrets of the table in force that are sealed under another key than the current one"
)
PRICE_VERSION = Gauge("tollbook_router_price_version", "Version of the price book that plans compare prices by")
CIRCUIT = Gauge("tollbook_router_channel_circuit", "1 for the state that a channel's circuit is in", ["channel", "state"])
KEYS_RESTING = Gauge("tollbook_router_channel_keys_resting", "Keys of a channel that rest", ["channel"])
CHANNEL_IN_FLIGHT = Gauge("tollbook_router_channel_in_flight", "Upstream calls under way", ["channel"])
LIMIT_USED = Gauge("tollbook_router_channel_limit_used", "What counts now against a channel's limit", ["channel", "limit"])
LIMIT = Gauge("tollbook_router_channel_limit", "A channel's limit in this process", ["channel", "limit"])
RECENT_LATENCY = Gauge(
    "tollbook_router_channel_recent_seconds",
    "Moving average of a place's time: to the first chunk (ttft) or to the whole reply (reply)",
    ["channel", "upstream_model", "of"],
)
CHANNEL_GAUGES = (CIRCUIT, KEYS_RESTING, CHANNEL_IN_FLIGHT, LIMIT_USED, LIMIT, RECENT_LATENCY)
BOUNDS_TIGHTENED = Counter("tollbook_router_bounds_tightened_total", "Prompts counted because their bound decided", ["result"])
TIGHTENING = Histogram(
    "tollbook_router_bound_tightening_seconds", "Time to count a prompt", buckets=(0.0005, 0.002, 0.01, 0.05, 0.2, 1, 5)
)
BATCH_LINES = Counter("tollbook_router_batch_lines_total", "Lines of batches by how they ended", ["outcome"])
BATCH_LINES_UNDER_WAY = Gauge("tollbook_router_batch_lines_under_way", "Lines of batches that are worked on now")
BATCH_LINES_WAITING = Gauge("tollbook_router_batch_lines_waiting", "Lines, not ended yet, of the batches that this worker has")
BATCHES_LEASED = Gauge("tollbook_router_batches_leased", "Batches that this worker has now")
BATCHES_ENDED = Counter("tollbook_router_batches_ended_total", "Batches by the status that they ended in", ["status"])
BATCH_INTAKE_LAG = Gauge("tollbook_router_batch_intake_lag", "Records of the requests topic that the intake has not read yet")
