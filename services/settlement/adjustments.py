"""Adjustments: an operator corrects a bucket by hand, with a reason. Pure."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from schemas.money import AmountError, format_amount, parse_amount
from services.settlement.errors import ConflictError, InvalidError
from services.settlement.money_in import Name, Reason, digest


def signed_nano(text: str) -> int:
    """Nano of a decimal text that may begin with a minus. Raises :class:`AmountError`."""
    return -parse_amount(text[1:]) if text.startswith("-") else parse_amount(text)


def _exact(text: str) -> str:
    try:
        signed_nano(text)
    except AmountError as error:
        raise ValueError(str(error)) from None
    return text


SignedDecimalText = Annotated[str, Field(min_length=1, max_length=40), AfterValidator(_exact)]


class Adjustment(BaseModel):
    """Body of `POST /admin/adjustments`. A negative amount takes from the bucket."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    account_id: Name
    bucket: Name
    amount: SignedDecimalText
    reason: Reason
    author: Name = "admin"
    key: Name

    @property
    def amount_nano(self) -> int:
        """The amount in nano. Raises InvalidError for zero."""
        nano = signed_nano(self.amount)
        if nano == 0:
            raise InvalidError("an adjustment must not be zero", code="invalid_amount", param="amount")
        return nano

    @property
    def idem_key(self) -> str:
        """Unique for ever."""
        return f"adjustment:{self.key}"

    @property
    def request_hash(self) -> bytes:
        """Digest of what was asked for."""
        return digest(self.account_id, self.bucket, self.amount_nano, self.reason, self.author)


def require_available(needed_nano: int, available_nano: int, bucket: str, currency: str) -> None:
    """Raise ConflictError where a bucket has less available than an adjustment takes: what is held is promised."""
    if needed_nano > available_nano:
        raise ConflictError(
            f"the bucket {bucket} has {format_amount(available_nano)} {currency} available, {format_amount(needed_nano)} is to"
            " be taken: take less, or wait until what is held comes free",
            code="insufficient_balance",
            param="amount",
        )
