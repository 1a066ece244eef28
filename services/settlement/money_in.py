"""Top-ups and limits as operators ask for them. Pure: validated values and the periods that limits count in."""

import hashlib
from datetime import UTC, datetime
from typing import Annotated, Literal

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from schemas.envelope import Identifier
from schemas.money import AmountError, parse_amount
from schemas.plain_text import plain_text

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _exact(text: str) -> str:
    try:
        parse_amount(text)
    except AmountError as error:
        raise ValueError(str(error)) from None
    return text


def _one_word(text: str) -> str:
    if ":" in text:
        raise ValueError("must not contain a colon, which separates it from the payment in keys")
    return text


DecimalText = Annotated[str, Field(min_length=1, max_length=40), AfterValidator(_exact)]
Window = Literal["total", "day", "month"]
Name = Annotated[Identifier, AfterValidator(plain_text)]
ProviderName = Annotated[Name, AfterValidator(_one_word)]
Reason = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(plain_text)]


def digest(*values: object) -> bytes:
    """Digest of what was asked for, from JSON values: the same key with another digest is a conflict."""
    return hashlib.sha256(orjson.dumps(values)).digest()[:16]


class TopUp(BaseModel):
    """Body of `POST /admin/topups`: a payment that a payment provider has taken. `amount` in units of the bucket's currency."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    account_id: Name
    bucket: Name
    amount: DecimalText
    provider: ProviderName
    payment_id: Name

    @property
    def amount_nano(self) -> int:
        """The amount in nano."""
        return parse_amount(self.amount)

    @property
    def idem_key(self) -> str:
        """Unique for ever: a payment is added once."""
        return f"topup:{self.provider}:{self.payment_id}"

    @property
    def request_hash(self) -> bytes:
        """Digest of what was asked for: "1.5" and "1.50" ask for the same."""
        return digest(self.account_id, self.bucket, self.amount_nano, self.provider, self.payment_id)


class LimitChange(BaseModel):
    """Body of `POST /admin/limits`. A limit of None removes the limit; what is spent goes on being counted."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    account_id: Name
    kind: Literal["account", "bucket", "project", "key"]
    id: Name
    currency: Name
    window: Window
    limit: DecimalText | None
    author: Name = "admin"

    @property
    def limit_nano(self) -> int | None:
        """The limit in nano."""
        return None if self.limit is None else parse_amount(self.limit)


def period_start(window: str, instant: datetime) -> datetime:
    """When the period began that the instant lies in: the same rule as in `place_holds`."""
    day = instant.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if window == "day":
        return day
    return day.replace(day=1) if window == "month" else EPOCH
