"""Promotional credit as operators give it. Pure; `lots.py` says how it is spent and when it expires."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict

from schemas.money import parse_amount
from services.settlement.errors import InvalidError
from services.settlement.money_in import EPOCH, DecimalText, Name, Reason, digest
from services.settlement.refusals import utc_text

LATEST = datetime(2100, 1, 1, tzinfo=UTC)


def _within_reach(instant: datetime) -> datetime:
    """The instant in UTC. It is compared before it is converted: the ends of the calendar have no other offset."""
    if not EPOCH <= instant <= LATEST:
        raise InvalidError(
            f"expires_at lies in the past or after {LATEST.date()}: give an instant between now and then",
            code="invalid_expiry",
            param="expires_at",
        )
    return instant.astimezone(UTC)


class Promotion(BaseModel):
    """Body of `POST /admin/promotions`: credit that is taken back at `expires_at` as far as it was not spent."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    account_id: Name
    bucket: Name
    amount: DecimalText
    expires_at: Annotated[AwareDatetime, AfterValidator(_within_reach)]
    reason: Reason
    author: Name = "admin"
    key: Name

    @property
    def amount_nano(self) -> int:
        """The amount in nano. Raises InvalidError for zero."""
        nano = parse_amount(self.amount)
        if nano == 0:
            raise InvalidError("a promotion must be more than zero", code="invalid_amount", param="amount")
        return nano

    @property
    def idem_key(self) -> str:
        """Unique for ever."""
        return f"promotion:{self.key}"

    @property
    def request_hash(self) -> bytes:
        """Digest of what was asked for."""
        return digest(self.account_id, self.bucket, self.amount_nano, utc_text(self.expires_at), self.reason, self.author)

    def require_future(self, now: datetime) -> None:
        """Raise InvalidError for credit that would be gone at once."""
        if self.expires_at <= now:
            raise InvalidError(
                "expires_at lies in the past: give an instant to come", code="invalid_expiry", param="expires_at"
            )
