"""Every metric of analytics: its name, type and meaning."""

from prometheus_client import Counter, Gauge, Histogram

ROWS = Counter("tollbook_analytics_rows_total", "Rows inserted into ClickHouse and recorded as done.", ["table"])
DUPLICATES = Counter("tollbook_analytics_duplicates_total", "Records left out, as their event is a row already.")
TOO_OLD = Counter("tollbook_analytics_too_old_total", "Records left out, as their table keeps no rows of their age.")
POISON = Counter("tollbook_analytics_poison_total", "Records set aside in tollbook.dead.v1.", ["topic", "reason"])
SAMPLES = Counter("tollbook_analytics_usage_samples_total", "Usage samples published for the velocity meter.")
BATCH_SECONDS = Histogram(
    "tollbook_analytics_batch_seconds",
    "From the last record of a batch being read to the batch being recorded as done.",
    buckets=(0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
)
SESSIONS = Counter("tollbook_analytics_loader_sessions_total", "Loader sessions that ended, by why.", ["ended_by"])
LOADING = Gauge("tollbook_analytics_loading", "1 while this process holds the lease and loads.")
LAG_RECORDS = Gauge("tollbook_analytics_lag_records", "Records in Kafka that are not rows yet.", ["topic", "partition"])
LAG_SECONDS = Gauge(
    "tollbook_analytics_lag_seconds", "From an event to its row lately, or for how long this process has failed to load."
)
EVENT_TO_ROW_MS = Gauge(
    "tollbook_analytics_event_to_row_ms", "Event to queryable row over the last five minutes, in ms.", ["quantile"]
)
QUERY_SECONDS = Histogram("tollbook_analytics_query_seconds", "Queries of the dashboard and the admin calls.", ["query"])
METERED = Counter("tollbook_analytics_metered_samples_total", "Usage samples that the velocity meter counted.")
ALERTS_OPEN = Gauge("tollbook_analytics_alerts_open", "Keys that the velocity meter holds to be running away.")
ALERT_STEPS = Counter("tollbook_analytics_alert_steps_total", "Steps that alerts took.", ["signal", "step"])
ALERT_EVENTS_WAITING = Gauge("tollbook_analytics_alert_events_waiting", "Events of alerts that Kafka has not taken yet.")
FREEZES = Counter(
    "tollbook_analytics_freezes_total", "Attempts to freeze what a rule wants frozen, by outcome.", ["kind", "outcome"]
)
FORGOTTEN = Counter(
    "tollbook_analytics_forgotten_rows_total",
    "Rows about alerts that were old and over and were removed, by what they are.",
    ["what"],
)
METER_SILENT_SECONDS = Gauge("tollbook_analytics_meter_silent_seconds", "Since when no meter was heard of.")
WATCHERS = Gauge("tollbook_analytics_watchers", "Those who watch requests live in this process.")
WATCHERS_DROPPED = Counter("tollbook_analytics_watchers_dropped_total", "Watchers who read too slowly and were dropped.")
DELIVERIES = Counter(
    "tollbook_analytics_deliveries_total",
    "Changes of alerts that a receiver was told of, by its end: sent, later (it is tried again), failed (given up; kind none:"
    " the rules name no such receiver any more).",
    ["kind", "ended"],
)
DELIVERY_SECONDS = Histogram(
    "tollbook_analytics_delivery_seconds",
    "One attempt to tell a receiver.",
    ["kind"],
    buckets=(0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20),
)
DELIVERIES_WAITING = Gauge("tollbook_analytics_deliveries_waiting", "Changes that a receiver is not told of yet.", ["receiver"])
DELIVERY_OLDEST_SECONDS = Gauge(
    "tollbook_analytics_delivery_oldest_seconds", "How long the oldest change waits that some receiver is not told of yet."
)
SCHEDULE_SECONDS = Histogram("tollbook_analytics_schedule_seconds", "One round of the scheduled alert rules.")
SCHEDULE_FAILURES = Counter(
    "tollbook_analytics_schedule_failures_total",
    "Rounds of the scheduled alert rules that ClickHouse or Postgres kept from ending.",
)
