"""From changes of alerts to the one message that a receiver gets. Pure."""

import base64
from collections.abc import Mapping, Sequence
from datetime import datetime

from schemas.alert_receivers import (
    AlertmanagerReceiver,
    EmailReceiver,
    PagerDutyReceiver,
    Receiver,
    SlackReceiver,
    WebhookReceiver,
)
from services.analytics.delivery import alertmanager, mail, pagerduty, slack, webhook
from services.analytics.delivery.outgoing import HttpMessage, Item, Outgoing, json_message
from services.analytics.delivery.references import address


def compose(
    receiver: Receiver, items: Sequence[Item], read: Mapping[str, str], *, dashboard_url: str, now: datetime
) -> Outgoing:
    """The message; `read` is what the receiver's variables hold. Raises :class:`references.NotConfiguredError`."""
    first = items[0]
    match receiver:
        case EmailReceiver():
            return mail.mail(items, receiver, read.get("password"), now)
        case SlackReceiver():
            body = slack.payload(first) if len(items) == 1 else slack.digest(items, dashboard_url)
            return json_message(address(receiver, read), body)
        case PagerDutyReceiver():
            return json_message(address(receiver, read), pagerduty.event(first, read["routing_key"]))
        case AlertmanagerReceiver():
            url = alertmanager.address(address(receiver, read))
            return json_message(url, alertmanager.alerts(items, receiver.labels, now), _credentials(receiver, read))
        case WebhookReceiver():
            secrets = [read[name] for name in ("secret", "former_secret") if name in read]
            return webhook.message(first, address(receiver, read), secrets, now)


def closing(receiver: Receiver, item: Item, read: Mapping[str, str]) -> HttpMessage | None:
    """What closes again that a test opened; None where a test leaves nothing open."""
    if not isinstance(receiver, PagerDutyReceiver):
        return None
    return json_message(address(receiver, read), pagerduty.end_of_test(item, read["routing_key"]))


def _credentials(receiver: AlertmanagerReceiver, read: Mapping[str, str]) -> dict[str, str]:
    if "bearer_token" in read:
        return {"authorization": f"Bearer {read['bearer_token']}"}
    if receiver.username is not None:
        pair = f"{receiver.username}:{read['password']}".encode()
        return {"authorization": f"Basic {base64.b64encode(pair).decode()}"}
    return {}
