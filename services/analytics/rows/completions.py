"""`completions`: one row per request that was held, with how it ended."""

from collections.abc import Mapping, Sequence
from typing import Any

from schemas import topics
from services.analytics.rows.columns import (
    KEY,
    ROUTE,
    USAGE,
    count,
    flag,
    free_text,
    instant,
    nano,
    number,
    small,
    text,
    texts,
    version,
)
from services.analytics.rows.fields import micros, text_of
from services.analytics.rows.table import Event, Table, Values, key_values, route_values, total_tokens, usage_values


def answering_attempt(data: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The attempt that the customer pays for, else the last one; None for a request without attempts."""
    attempts: Sequence[Mapping[str, Any]] = data["attempts"]
    charged = data["charged_attempt"]
    for attempt in attempts:
        if attempt["attempt"] == charged:
            return attempt
    return attempts[-1] if attempts else None


def all_tokens(data: Mapping[str, Any]) -> int:
    """Tokens of all attempts, charged or burned: what the request made providers work."""
    return sum(total_tokens(attempt["usage"]) for attempt in data["attempts"])


def _completed(_: Event, data: Any) -> Values:
    answer = answering_attempt(data)
    spent_tokens = all_tokens(data)
    charged = data["charged_attempt"]
    answer_values = {} if answer is None else {**route_values(answer), **usage_values(answer["usage"])}
    also = data.get("also_charged", ())
    paid = [attempt for attempt in data["attempts"] if charged is not None and attempt["attempt"] in {charged, *also}]
    charged_tokens = sum(total_tokens(attempt["usage"]) for attempt in paid)
    return {
        **key_values(data["key"]),
        **answer_values,
        "client_api": data["client_api"],
        "requested_model": data["requested_model"],
        "stream": data["stream"],
        "outcome": data["outcome"],
        "http_status": data["http_status"],
        "error_class": text_of(data.get("error_class")),
        "plan": [candidate["channel"] for candidate in data["plan"]],
        "attempts": len(data["attempts"]),
        "fallbacks": len(data["fallbacks"]),
        "charged_attempt": charged,
        "burned_tokens": spent_tokens - charged_tokens,
        "bucket": text_of(data.get("bucket")),
        "currency": text_of(data.get("currency")),
        "cost_nano": data.get("cost_nano"),
        "accepted_at": micros(data["accepted_at"]),
        "latency_ms": data["latency_ms"],
        "ttft_ms": data.get("ttft_ms"),
        "overhead_ms": data["overhead_ms"],
        "client_request_id": text_of(data.get("client_request_id")),
        "table_version": data.get("table_version") or 0,
    }


COMPLETIONS = Table(
    name="completions",
    topic=topics.ATTEMPTS,
    own_columns=(
        *KEY,
        text("client_api"),
        text("requested_model"),
        flag("stream"),
        text("outcome"),
        small("http_status"),
        text("error_class"),
        texts("plan"),
        small("attempts"),
        small("fallbacks"),
        small("charged_attempt", nullable=True),
        *ROUTE,
        *USAGE,
        count("burned_tokens"),
        text("bucket"),
        text("currency"),
        nano("cost_nano"),
        instant("accepted_at"),
        number("latency_ms"),
        number("ttft_ms", nullable=True),
        number("overhead_ms"),
        free_text("client_request_id"),
        version("table_version"),
    ),
    fillers={"RequestCompleted": _completed},
)
"""Route and usage are those of the answering attempt; `burned_tokens` are those of all attempts that were not charged."""
