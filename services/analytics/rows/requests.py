"""`requests`: what clients asked for, accepted or rejected, and the batches that they handed over."""

from typing import Any

from schemas import topics
from services.analytics.rows.columns import KEY, count, flag, free_text, small, text
from services.analytics.rows.fields import text_of
from services.analytics.rows.table import Event, Table, Values, key_values


def _accepted(event: Event, data: Any) -> Values:
    return {
        **key_values(data["key"]),
        "client_api": data["client_api"],
        "requested_model": data["requested_model"],
        "stream": data["stream"],
        "body_bytes": data["body_bytes"],
        "client_request_id": text_of(data.get("client_request_id")),
        "traceparent": text_of(event.get("traceparent")),
    }


def _rejected(event: Event, data: Any) -> Values:
    return {
        **key_values(data["key"]),
        "client_api": data["client_api"],
        "requested_model": data.get("requested_model", ""),
        "http_status": data["http_status"],
        "code": data["code"],
        "message": data["message"],
        "client_request_id": text_of(data.get("client_request_id")),
        "traceparent": text_of(event.get("traceparent")),
    }


def _batch(event: Event, data: Any) -> Values:
    """A batch. Its lines carry `<batch id>/<line>` as their label, so that one prefix finds them all."""
    return {
        **key_values(data["key"]),
        "client_api": data["endpoint"],
        "client_request_id": data["batch_id"],
        "traceparent": text_of(event.get("traceparent")),
    }


REQUESTS = Table(
    name="requests",
    topic=topics.REQUESTS,
    own_columns=(
        *KEY,
        text("client_api"),
        text("requested_model"),
        flag("stream"),
        count("body_bytes"),
        small("http_status"),
        text("code"),
        free_text("message"),
        free_text("client_request_id"),
        free_text("traceparent"),
    ),
    fillers={"RequestAccepted": _accepted, "RequestRejected": _rejected, "BatchAccepted": _batch},
)
