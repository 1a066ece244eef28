"""Every metric of settlement, with its type and meaning."""

from functools import cache
from typing import Any

from prometheus_client import Counter, Gauge, Histogram

HOLDS = Counter("tollbook_settlement_holds_total", "Holds decided, by outcome (held or the refusal's code)", ["outcome"])
HOLD_BATCH = Histogram(
    "tollbook_settlement_hold_batch_size", "Holds per call of place_holds", buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256)
)
INGRESS_ROWS = Gauge("tollbook_settlement_ingress_rows", "Events that wait in Postgres because Kafka could not take them")
SETTLED = Counter("tollbook_settlement_settled_total", "Settling events posted, by result", ["result"])
BATCH_SECONDS = Histogram(
    "tollbook_settlement_batch_seconds",
    "Duration of one settlement transaction",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2),
)
BATCH_EVENTS = Histogram(
    "tollbook_settlement_batch_events", "Settling events per transaction", buckets=(1, 5, 10, 20, 50, 100, 200, 500)
)
EVENT_AGE_SECONDS = Histogram(
    "tollbook_settlement_event_age_seconds",
    "From a settling event's occurred_at to its commit",
    buckets=(0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 60),
)
DEAD_LETTERS = Counter("tollbook_settlement_dead_letters_total", "Records set aside, by reason", ["reason"])
REDRIVEN = Counter("tollbook_settlement_redriven_total", "Dead letters read again, by what they came to", ["outcome"])
OVERRUNS = Counter("tollbook_settlement_overruns_total", "Captures above their hold; the target is 0")
CASES = Counter("tollbook_settlement_cases_total", "Cases opened, by kind", ["kind"])
PUBLISHED = Counter("tollbook_settlement_published_total", "Records acknowledged by Kafka, by relay", ["relay"])
CONTROL_POSITION = Gauge("tollbook_settlement_control_position", "Offset up to which the control topic is read and obeyed")
LAG = Gauge("tollbook_settlement_consumer_lag", "Records between a partition's end and the ledger's offset", ["partition"])
OUTBOX_ROWS = Gauge("tollbook_settlement_outbox_rows", "Events that wait in the outbox, as the relay last saw them")
RUNS_CLOSED = Counter("tollbook_settlement_runs_closed_total", "Runs closed by their deadline or with their last hold")
SEALED = Counter("tollbook_settlement_sealed_total", "Entries that were sealed")
SEAL_SECONDS = Histogram(
    "tollbook_settlement_seal_seconds",
    "Duration of one sealing transaction",
    buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 2),
)
CHECKPOINT_SIZE = Gauge("tollbook_settlement_checkpoint_size", "Entries that the last signed checkpoint covers")
EXPIRED = Counter("tollbook_settlement_expired_holds_total", "Holds that ran out of time and became cases")
IDEMPOTENCY_CONFLICTS = Counter(
    "tollbook_settlement_idempotency_conflicts_total",
    "Keys of money that came again with another body: each is a caller's defect, look at it",
    ["kind"],
)
CORRECTIONS = Counter("tollbook_settlement_corrections_total", "Transactions beside requests, by kind", ["kind"])
EXPIRED_CREDIT = Counter("tollbook_settlement_expired_credit_total", "Parts of promotional credit that expired unspent")
STATEMENTS_REFUSED = Counter(
    "tollbook_settlement_statements_refused_total", "Statements that did not add up and were not issued; the target is 0"
)
PROVIDER_EVENTS = Counter(
    "tollbook_settlement_payment_events_total", "Events of payment providers by what was done", ["provider", "outcome"]
)


def holds_decided(result: dict[str, Any]) -> None:
    """Count one answer of the hold function."""
    _outcome(result["code"] if result["status"] == "refused" else "held").inc()


@cache
def _outcome(outcome: str) -> Counter:
    return HOLDS.labels(outcome)


def settled(kind: str, count: int) -> None:
    """Count posted events of a kind."""
    _settled(kind).inc(count)


@cache
def _settled(kind: str) -> Counter:
    return SETTLED.labels(kind)
