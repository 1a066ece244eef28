"""A message that is ready to leave. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import EmailMessage

import orjson

from services.analytics.delivery.notice import Notice, Owner
from services.analytics.delivery.wording import Told, told


@dataclass(frozen=True, slots=True)
class Item:
    """One change of an alert, in facts and in words. `delivery_id` stays the same however often it is tried."""

    delivery_id: str
    notice: Notice
    owner: Owner
    told: Told

    @classmethod
    def of(cls, delivery_id: str, notice: Notice, owner: Owner, dashboard_url: str) -> "Item":
        """The item with its words."""
        return cls(delivery_id, notice, owner, told(notice, owner, dashboard_url))


@dataclass(frozen=True, slots=True)
class HttpMessage:
    """One POST. Its address and headers can hold secrets and are never shown."""

    url: str = field(repr=False)
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail, and how it is handed over."""

    message: EmailMessage = field(repr=False)
    host: str
    port: int
    security: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)


Outgoing = HttpMessage | Mail
JSON = {"content-type": "application/json"}


def json_message(url: str, body: object, headers: Mapping[str, str] | None = None) -> HttpMessage:
    """A POST of JSON."""
    return HttpMessage(url, orjson.dumps(body, option=orjson.OPT_NON_STR_KEYS), {**JSON, **(headers or {})})
