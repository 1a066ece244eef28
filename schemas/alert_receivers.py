"""Who is told of alerts: the section `receivers` of the rule file. Pure.

A secret never stands in the file, which is stored and shown: it is named as `${env:NAME}` and read where it is sent from.
Only variables that are named for the purpose may be read, so that no receiver can be sent a secret of Tollbook's own.
"""

import re
from email.headerregistry import Address
from typing import Annotated, Final, Literal, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from schemas.plain_text import plain_text

VARIABLES: Final = ("ALERT_", "ALERTMANAGER_", "PAGERDUTY_", "SLACK_", "SMTP_", "WEBHOOK_")
"""How the name of a variable begins that a receiver may name."""
REFERENCE: Final = re.compile(r"\$\{env:(" + "|".join(VARIABLES) + r")([A-Z0-9_]{1,64})\}")
PAGERDUTY_URL: Final = "https://events.pagerduty.com/v2/enqueue"
MOST_RECEIVERS: Final = 64
AlertEvent = Literal["firing", "acknowledged", "resolved"]
EVENTS: Final[tuple[AlertEvent, ...]] = ("firing", "acknowledged", "resolved")


def _reference(text: str) -> str:
    if REFERENCE.fullmatch(text) is None:
        begins = ", ".join(VARIABLES)
        raise ValueError(f"a secret is written as ${{env:NAME}}, and NAME begins with one of {begins}")
    return text


def variable_of(text: str) -> str | None:
    """The name of the variable that a text refers to, None where it is no reference."""
    found = REFERENCE.fullmatch(text)
    return None if found is None else found[1] + found[2]


def url_fault(url: str, *, allow_http: bool) -> str | None:
    """Why nothing is sent to this address, None where it may be. Repeats none of it: an address can be a secret."""
    if not url.isascii() or not url.isprintable() or " " in url or len(url) > 2_000:
        return "an address is at most 2,000 characters of plain ASCII, without spaces"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "it is no address"
    if parts.scheme not in {"https", "http"} or not parts.hostname or port == 0:
        return "an address has the form https://host[:port]/path"
    if parts.scheme == "http" and not allow_http:
        return "an address begins with https:// (or the receiver says `allow_http: true`)"
    if parts.username is not None or "#" in url:
        return "an address carries no user, password or fragment"
    return None


def _email(text: str) -> str:
    try:
        Address(addr_spec=plain_text(text))
    except (ValueError, IndexError):
        raise ValueError("it is no e-mail address") from None
    if not text.isascii() or "@" not in text:
        raise ValueError("an e-mail address is of the form name@host, in plain ASCII")
    return text


def _one_or_more(value: object) -> object:
    return [value] if isinstance(value, str) else value


Reference = Annotated[
    str,
    AfterValidator(_reference),
    Field(json_schema_extra={"pattern": f"^{REFERENCE.pattern}$", "examples": ["${env:SLACK_WEBHOOK_URL}"]}),
]
EmailAddress = Annotated[str, Field(max_length=254), AfterValidator(_email)]
ReceiverName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
LabelName = Annotated[str, Field(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]{0,127}$")]
PlainText = Annotated[str, Field(min_length=1, max_length=256), AfterValidator(plain_text)]


class _Receiver(BaseModel):
    """What every kind has: which events it is told of, and how many messages a minute it takes at most."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    events: Annotated[tuple[AlertEvent, ...], Field(min_length=1, strict=False)] = EVENTS


_T = TypeVar("_T", bound=_Receiver)


class _OverHttp(_Receiver):
    allow_http: bool = False
    """Send in plain http too: for a receiver within a network that nobody else listens in."""


class SlackReceiver(_OverHttp):
    """An incoming webhook of Slack, or of what speaks as it does. Its address is its secret."""

    kind: Literal["slack"]
    url: Reference
    per_minute: Annotated[int, Field(ge=1, le=600)] = 20


class PagerDutyReceiver(_OverHttp):
    """PagerDuty's Events API v2: an alert opens an incident, and its end resolves it."""

    kind: Literal["pagerduty"]
    routing_key: Reference
    url: Annotated[str, Field(max_length=2_000)] = PAGERDUTY_URL
    per_minute: Annotated[int, Field(ge=1, le=600)] = 60

    @model_validator(mode="after")
    def _address(self) -> Self:
        return _checked(self, self.url, allow_http=self.allow_http)


class AlertmanagerReceiver(_OverHttp):
    """Prometheus' Alertmanager, API v2. `url` is where it lives: `/api/v2/alerts` is added."""

    kind: Literal["alertmanager"]
    url: Annotated[str, Field(max_length=2_000)]
    username: PlainText | None = None
    password: Reference | None = None
    bearer_token: Reference | None = None
    labels: Annotated[dict[LabelName, PlainText], Field(max_length=32)] = Field(default_factory=dict)
    per_minute: Annotated[int, Field(ge=1, le=600)] = 60

    @model_validator(mode="after")
    def _credentials(self) -> Self:
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password are given together")
        if self.bearer_token is not None and self.username is not None:
            raise ValueError("give bearer_token, or username and password")
        return _checked(self, self.url, allow_http=self.allow_http)


class WebhookReceiver(_OverHttp):
    """Any program that takes JSON, signed as Standard Webhooks says. While its secret is replaced, both sign."""

    kind: Literal["webhook"]
    url: Annotated[str, Field(max_length=2_000)]
    secret: Reference
    former_secret: Reference | None = None
    per_minute: Annotated[int, Field(ge=1, le=600)] = 120

    @model_validator(mode="after")
    def _address(self) -> Self:
        return _checked(self, self.url, allow_http=self.allow_http)


class EmailReceiver(_Receiver):
    """Mail over SMTP. `security`: starttls (port 587), tls from the first byte (465), or none (25)."""

    kind: Literal["email"]
    host: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]{0,252}$")]
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    security: Literal["starttls", "tls", "none"] = "starttls"
    username: PlainText | None = None
    password: Reference | None = None
    sender: Annotated[EmailAddress, Field(alias="from")]
    to: Annotated[tuple[EmailAddress, ...], Field(min_length=1, max_length=32, strict=False), BeforeValidator(_one_or_more)]
    per_minute: Annotated[int, Field(ge=1, le=600)] = 6

    @model_validator(mode="after")
    def _credentials(self) -> Self:
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password are given together")
        if self.password is not None and self.security == "none":
            raise ValueError("a password is sent over starttls or tls alone")
        return self

    @property
    def reached_at(self) -> int:
        """The port."""
        return self.port or {"starttls": 587, "tls": 465, "none": 25}[self.security]


Receiver = Annotated[
    SlackReceiver | PagerDutyReceiver | AlertmanagerReceiver | WebhookReceiver | EmailReceiver, Field(discriminator="kind")
]
Receivers = Annotated[dict[ReceiverName, Receiver], Field(max_length=MOST_RECEIVERS)]
"""The whole section: receivers by their names."""


def _checked(receiver: _T, url: str, *, allow_http: bool) -> _T:
    fault = None if variable_of(url) else url_fault(url, allow_http=allow_http)
    if fault is not None:
        raise ValueError(f"url: {fault}")
    return receiver


def secrets_of(receiver: Receiver) -> dict[str, str]:
    """Field → reference, for every field of a receiver that is read from a variable."""
    texts = {name: getattr(receiver, name) for name in type(receiver).model_fields}
    return {name: text for name, text in texts.items() if isinstance(text, str) and variable_of(text) is not None}
