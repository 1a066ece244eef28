"""`attempts`: every upstream call and every fallback, as they happened."""

from typing import Any

from schemas import topics
from services.analytics.rows.columns import KEY, ROUTE, USAGE, count, flag, free_text, instant, nano, number, small, text, uuid
from services.analytics.rows.fields import micros, text_of, uuid_number
from services.analytics.rows.table import Event, Table, Values, key_values, route_values, total_tokens, usage_values


def _started(_: Event, data: Any) -> Values:
    return {
        **key_values(data["key"]),
        **route_values(data),
        "requested_model": data["requested_model"],
        "attempt": data["attempt"],
        "hold_id": uuid_number(data["hold_id"]),
    }


def _finished(_: Event, data: Any) -> Values:
    attempt = data["attempt"]
    return {
        **key_values(data["key"]),
        **route_values(attempt),
        **usage_values(attempt["usage"]),
        "requested_model": data["requested_model"],
        "attempt": attempt["attempt"],
        "hold_id": uuid_number(attempt["hold_id"]),
        "started_at": micros(attempt["started_at"]),
        "outcome": attempt["outcome"],
        "error_class": text_of(attempt.get("error_class")),
        "http_status": attempt.get("http_status"),
        "latency_ms": attempt["latency_ms"],
        "ttft_ms": attempt.get("ttft_ms"),
        "usage_source": attempt["usage_source"],
        "operator_cost_nano": attempt.get("operator_cost_nano"),
        "operator_cost_currency": text_of(attempt.get("operator_cost_currency")),
        "upstream_id": text_of(attempt.get("upstream_id")),
        "exposure_tokens": total_tokens(attempt["exposure"]) if attempt.get("exposure") else 0,
        "operator_exposure_nano": attempt.get("operator_exposure_nano"),
        "after_disconnect": text_of(attempt.get("after_disconnect")),
    }


def _fallback(_: Event, data: Any) -> Values:
    fallback = data["fallback"]
    return {
        **key_values(data["key"]),
        "requested_model": data["requested_model"],
        "channel": fallback["from_channel"],
        "to_channel": fallback["to_channel"],
        "attempt": fallback.get("from_attempt"),
        "to_attempt": fallback.get("to_attempt"),
        "fallback_reason": fallback["reason"],
        "crossed_bucket": fallback.get("crossed_bucket", False),
    }


ATTEMPTS = Table(
    name="attempts",
    topic=topics.ATTEMPTS,
    own_columns=(
        *KEY,
        text("requested_model"),
        small("attempt", nullable=True),
        *ROUTE,
        uuid("hold_id"),
        instant("started_at", nullable=True),
        text("outcome"),
        text("error_class"),
        small("http_status", nullable=True),
        number("latency_ms", nullable=True),
        number("ttft_ms", nullable=True),
        *USAGE,
        text("usage_source"),
        nano("operator_cost_nano"),
        text("operator_cost_currency"),
        free_text("upstream_id"),
        count("exposure_tokens"),
        nano("operator_exposure_nano"),
        text("after_disconnect"),
        text("to_channel"),
        small("to_attempt", nullable=True),
        text("fallback_reason"),
        flag("crossed_bucket"),
    ),
    fillers={"AttemptStarted": _started, "AttemptFinished": _finished, "FallbackTaken": _fallback},
)
"""A FallbackTaken stands here with `channel` as where it came from."""
