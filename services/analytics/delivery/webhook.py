"""Alerts for any program, signed as Standard Webhooks says: `webhook-id`, `webhook-timestamp`, `webhook-signature`. Pure.

The id is the delivery's: it stays the same when a message is sent again, so that a program can tell what it has.
"""

import base64
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson
from standardwebhooks import Webhook

from services.analytics.delivery.outgoing import JSON, HttpMessage, Item
from services.analytics.delivery.references import NotConfiguredError

SECRET_BYTES = (24, 64)


class SecretUnusableError(NotConfiguredError):
    """A webhook's secret is `whsec_` and the base64 of 24 to 64 random bytes: set another, and start analytics again."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


def message(item: Item, url: str, secrets: Sequence[str], now: datetime) -> HttpMessage:
    """One change of an alert, signed with each of the secrets. Raises :class:`SecretUnusableError`."""
    text = orjson.dumps(body(item)).decode()
    signatures = [_signature(secret, item.delivery_id, now, text) for secret in secrets]
    headers = {
        **JSON,
        "webhook-id": item.delivery_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(signatures),
    }
    return HttpMessage(url, text.encode(), headers)


def body(item: Item) -> dict[str, Any]:
    """What the program gets: facts for programs, and the same in words."""
    notice = item.notice
    return {
        "type": f"alert.{notice.event}",
        "timestamp": notice.at.isoformat(),
        "data": {
            **notice.model_dump(mode="json", exclude={"transition_id", "at", "event"}),
            "owner": item.owner.model_dump(mode="json"),
            "headline": item.told.headline,
            "text": [f"{label}: {text}" for label, text in item.told.lines],
            "next_steps": [{"label": step.label, "text": step.text} for step in item.told.steps],
            "dashboard": item.told.dashboard or None,
        },
    }


def _signature(secret: str, delivery_id: str, now: datetime, text: str) -> str:
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except ValueError:
        key = b""
    if not SECRET_BYTES[0] <= len(key) <= SECRET_BYTES[1]:
        raise SecretUnusableError
    return Webhook(key).sign(delivery_id, now, text)
