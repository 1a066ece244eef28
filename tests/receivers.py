"""What receivers of alerts take, checked as strictly as their documentation says: more strictly than most of them do."""

import re
from datetime import datetime
from typing import Any

import orjson
from jsonschema import Draft202012Validator, FormatChecker
from slack_sdk.models.blocks import Block
from standardwebhooks import Webhook

TEXT = {"type": "string", "minLength": 1}
URI = {"type": "string", "format": "uri", "pattern": "^https?://"}
MOMENT = {"type": "string", "format": "date-time", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$"}
PAGERDUTY = {
    "type": "object",
    "additionalProperties": False,
    "required": ["routing_key", "event_action"],
    "properties": {
        "routing_key": {"type": "string", "pattern": "^[0-9a-zA-Z]{32}$"},
        "event_action": {"enum": ["trigger", "acknowledge", "resolve"]},
        "dedup_key": {"type": "string", "minLength": 1, "maxLength": 255},
        "client": TEXT,
        "client_url": URI,
        "links": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["href"],
                "properties": {"href": URI, "text": TEXT},
            },
        },
        "payload": {
            "type": "object",
            "additionalProperties": False,
            "required": ["summary", "severity", "source"],
            "properties": {
                "summary": {**TEXT, "maxLength": 1024},
                "severity": {"enum": ["critical", "warning", "error", "info"]},
                "source": TEXT,
                "timestamp": MOMENT,
                "component": TEXT,
                "group": TEXT,
                "class": TEXT,
                "custom_details": {"type": "object"},
            },
        },
    },
    "if": {"properties": {"event_action": {"const": "trigger"}}},
    "then": {"required": ["payload"]},
    "else": {"required": ["dedup_key"], "properties": {"payload": False, "client": False, "client_url": False, "links": False}},
}
"""Events API v2. Where it ignores a member, this refuses it."""
LABELS = {"type": "object", "propertyNames": {"pattern": "^[a-zA-Z_][a-zA-Z0-9_]*$"}, "additionalProperties": TEXT}
ALERTMANAGER = {
    "type": "array",
    "minItems": 1,
    "items": {
        "type": "object",
        "additionalProperties": False,
        "required": ["labels"],
        "properties": {
            "labels": {**LABELS, "required": ["alertname"]},
            "annotations": LABELS,
            "startsAt": MOMENT,
            "endsAt": MOMENT,
            "generatorURL": URI,
        },
    },
}
"""`postableAlerts` of API v2, and what its validation asks beyond that."""
SLACK_BLOCKS, SLACK_TEXT = 50, 40_000
TOLERANCE_S = 300


class NotTakenError(Exception):
    """The receiver answers 400 with this text."""


def pagerduty_event(body: Any) -> dict[str, Any]:
    """The event, which the API would accept."""
    event: dict[str, Any] = _valid(PAGERDUTY, body)
    return event


def alertmanager_alerts(body: Any) -> list[dict[str, Any]]:
    """The alerts, which the API would accept."""
    alerts: list[dict[str, Any]] = _valid(ALERTMANAGER, body)
    for alert in alerts:
        if datetime.fromisoformat(alert["endsAt"]) < datetime.fromisoformat(alert["startsAt"]):
            raise NotTakenError("start time must be before end time")
    return alerts


def slack_message(body: Any) -> dict[str, Any]:
    """The message, whose blocks Slack's own library holds to be right."""
    if not isinstance(body, dict) or set(body) - {"text", "blocks"}:
        raise NotTakenError("invalid_payload")
    text, blocks = body.get("text"), body.get("blocks")
    if not isinstance(text, str) or not 0 < len(text) <= SLACK_TEXT:
        raise NotTakenError("no_text")
    if not isinstance(blocks, list) or not 0 < len(blocks) <= SLACK_BLOCKS:
        raise NotTakenError("invalid_blocks")
    parsed = Block.parse_all(blocks)
    if len(parsed) != len(blocks):
        raise NotTakenError("invalid_blocks")
    for given, block in zip(blocks, parsed, strict=True):
        block.validate_json()
        if block.to_dict() != given:
            raise NotTakenError("invalid_blocks")
        _slack_texts(given)
    return body


def _slack_texts(given: Any) -> None:
    """Texts in `mrkdwn` have no bare `<` but of a link, and no bare `&`."""
    if isinstance(given, dict):
        if given.get("type") == "mrkdwn":
            without_links = re.sub(r"<https?://[^<>|]+\|[^<>]*>", "", given["text"])
            if re.search(r"[<>]|&(?!amp;|lt;|gt;)", without_links):
                raise NotTakenError("invalid_blocks: unescaped")
        for each in given.values():
            _slack_texts(each)
    elif isinstance(given, list):
        for each in given:
            _slack_texts(each)


def signed_webhook(body: bytes, headers: dict[str, str], secret: str) -> dict[str, Any]:
    """The message, whose signature the reference library accepts. Raises WebhookVerificationError."""
    told: dict[str, Any] = Webhook(secret).verify(body, headers)
    if set(told) != {"type", "timestamp", "data"} or not re.fullmatch(r"alert\.[a-z]+", told["type"]):
        raise NotTakenError("not of the form of Standard Webhooks")
    _valid(MOMENT, told["timestamp"])
    return told


def _valid(schema: dict[str, Any], body: Any) -> Any:
    found = next(Draft202012Validator(schema, format_checker=FormatChecker()).iter_errors(body), None)
    if found is not None:
        raise NotTakenError(f"{'/'.join(map(str, found.path))}: {found.message}"[:300])
    return orjson.loads(orjson.dumps(body))
