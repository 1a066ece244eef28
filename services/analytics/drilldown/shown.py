"""A request's row as the list shows it. Pure: amounts stay integers beside their text."""

from collections.abc import Mapping
from datetime import UTC
from typing import Any

from schemas.money import format_amount

Row = Mapping[str, Any]
COPIED = (
    *("request_id", "account_id", "project_id", "key_id", "key_name", "environment", "tags", "client_api", "model"),
    *("outcome", "http_status", "attempts", "fallbacks", "burned_tokens", "cost_nano", "latency_ms", "ttft_ms"),
)
RENAMED = {"run": "run_id", "wallet": "bucket", "answered_model": "answered_model", "channel": "channel"}
MAYBE = RENAMED | {"route_type": "route_type", "currency": "currency", "error": "error"}


def request_shown(row: Row) -> dict[str, Any]:
    """One request: never a text of it or of its reply, and no message of an error, which may quote what the client sent."""
    nano = row["cost_nano"]
    return {
        "at": row["at"].replace(tzinfo=UTC),
        **{name: row[name] for name in COPIED},
        **{shown: row[name] or None for name, shown in MAYBE.items()},
        "input_tokens": row["input"],
        "output_tokens": row["output"],
        "cost": None if nano is None else format_amount(nano),
    }
