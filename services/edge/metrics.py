"""Every metric of the edge: its name, its labels, its meaning."""

from prometheus_client import Counter, Gauge, Histogram

REQUESTS = Counter(
    "tollbook_edge_requests_total", "Calls to client endpoints by the status that the client got.", ["api", "status"]
)
REJECTED = Counter("tollbook_edge_rejected_total", "Calls refused before any upstream call, by error code.", ["code"])
CLIENT_GONE = Counter("tollbook_edge_client_gone_total", "Calls whose client went away before the reply was whole.")
IN_FLIGHT = Gauge("tollbook_edge_in_flight", "Calls under way.")
LATENCY_S = Histogram(
    "tollbook_edge_request_seconds",
    "Time from a call's arrival to the end of its reply.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
)
KEY_LOOKUPS = Counter("tollbook_edge_key_lookups_total", "Keys that Postgres was asked for, by what it said.", ["result"])
ADDRESSES_REFUSED = Counter(
    "tollbook_edge_addresses_refused_total", "Calls from an address that the allow-list of their key does not hold."
)
RATE_LIMITED = Counter(
    "tollbook_edge_rate_limited_total",
    "Calls refused because an envelope had used its minute, by envelope and unit.",
    ["envelope", "unit"],
)
RATE_LIMIT_STORE_ERRORS = Counter(
    "tollbook_edge_rate_limit_store_errors_total",
    "Times that the shared store of rate limits did not answer and was left alone.",
)
RUN_LOOKUPS = Counter(
    "tollbook_edge_run_lookups_total",
    "Runs that settlement was asked for before a request joined, by what it said.",
    ["result"],
)
CACHED_KEYS = Gauge("tollbook_edge_cached_keys", "Keys and refused tokens in memory.")
EVENTS = Counter("tollbook_edge_events_total", "Events handed over, by the way they took.", ["way"])
EVENTS_DROPPED = Counter("tollbook_edge_events_dropped_total", "Refusals that were not recorded because every way was shut.")
EVENTS_PENDING = Gauge("tollbook_edge_events_pending", "Events that wait to be handed over.")
KAFKA_UP = Gauge("tollbook_edge_kafka_up", "1 while Kafka acknowledges in time.")
CONTROL_RECORDS = Counter("tollbook_edge_control_records_total", "Records read from the control topic.", ["kind"])
CONTROL_POSITION = Gauge("tollbook_edge_control_position", "Offset up to which the control topic is read and obeyed.")
CONTROL_SILENT = Gauge("tollbook_edge_control_silent_seconds", "Time since the control topic was last read to its end.")
CONTROL_PUBLISHED = Counter("tollbook_edge_control_published_total", "Records of the outbox that Kafka acknowledged.")
IDEMPOTENCY = Counter("tollbook_edge_idempotency_total", "Idempotency keys presented, by what was decided.", ["decision"])
