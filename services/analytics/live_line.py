"""What a watcher sees of a request, as soon as its end is in Kafka. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from schemas import topics
from schemas.access import ALL, Accounts
from schemas.money import format_amount
from services.analytics.rows.completions import answering_attempt

FOLLOWED = {(topics.ATTEMPTS, "RequestCompleted"), (topics.REQUESTS, "RequestRejected")}
"""Each request ends in exactly one of these."""
Line = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Watch:
    """What one watcher asked to see, within the accounts that may be shown."""

    accounts: Accounts = ALL
    account_id: str | None = None
    project_id: str | None = None
    key_id: str | None = None
    model: str | None = None
    errors: bool = False

    def wants(self, line: Line) -> bool:
        """Whether the line is to be shown. A model counts as asked for or as answering."""
        if self.accounts is not ALL and line["account_id"] not in self.accounts:
            return False
        asked = (("account_id", self.account_id), ("project_id", self.project_id), ("key_id", self.key_id))
        if any(wanted is not None and line[name] != wanted for name, wanted in asked):
            return False
        if self.model is not None and self.model not in (line["model"], line["answered_model"]):
            return False
        return not self.errors or line["outcome"] != "succeeded"


def line_of(event: Mapping[str, Any]) -> Line:
    """The line of an event of :data:`FOLLOWED`. Raises KeyError, TypeError or ValueError for one that does not fit.

    Never a text of the request or the reply, and no message of an error, which may quote what the client sent.
    """
    data = event["data"]
    key = data["key"]
    return {
        "at": event["occurred_at"],
        "request_id": event["request_id"],
        "run_id": event.get("run_id"),
        "account_id": event["account_id"],
        "project_id": key["project_id"],
        "key_id": key["key_id"],
        "key_name": key.get("key_name", ""),
        "environment": event.get("environment", "default"),
        "client_api": data["client_api"],
        "model": data.get("requested_model", ""),
        "http_status": data["http_status"],
        **(_completed(data) if event["type"] == "RequestCompleted" else _rejected(data)),
    }


def _completed(data: Mapping[str, Any]) -> Line:
    answer = answering_attempt(data)
    place, usage = (answer, answer["usage"]) if answer is not None else ({}, {})
    cost_nano = data.get("cost_nano")
    tokens = sum(usage.get(name, 0) for name in ("input_tokens", "cached_input_tokens", "cache_write_tokens"))
    return {
        "outcome": data["outcome"],
        "error": data.get("error_class"),
        "answered_model": place.get("upstream_model"),
        "channel": place.get("channel"),
        "route_type": place.get("route_type"),
        "attempts": len(data["attempts"]),
        "fallbacks": [fallback["reason"] for fallback in data["fallbacks"]],
        "bucket": data.get("bucket"),
        "currency": data.get("currency"),
        "cost": None if cost_nano is None else format_amount(cost_nano),
        "input_tokens": tokens,
        "output_tokens": usage.get("output_tokens", 0),
        "stream": data["stream"],
        "latency_ms": data["latency_ms"],
        "ttft_ms": data.get("ttft_ms"),
    }


def _rejected(data: Mapping[str, Any]) -> Line:
    nothing = dict.fromkeys(("answered_model", "channel", "route_type", "bucket", "currency", "cost", "latency_ms", "ttft_ms"))
    counts = {"attempts": 0, "fallbacks": [], "input_tokens": 0, "output_tokens": 0, "stream": None}
    return {"outcome": "rejected", "error": data["code"], **nothing, **counts}
