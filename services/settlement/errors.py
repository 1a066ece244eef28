"""Everything that settlement raises, and what the catcher does about it.

SettlementError
├── ApiError                 answer the caller with its status and code
│   ├── BadInputError        400
│   ├── UnauthorizedError    401
│   ├── PaymentRequiredError 402
│   ├── ForbiddenError       403
│   ├── NotFoundError        404
│   ├── ConflictError        409
│   ├── TooLargeError        413
│   ├── InvalidError         422
│   └── UnavailableError     503, ask again
├── StalePriceBookError      load the price book in force, plan the holds again
├── PoisonError              set the record aside as a dead letter, go on
├── LostLeaseError           roll back, give the partition up, take leases again
├── OffsetGapError           halt: a person looks before anything moves
├── RacedError               roll back, read again, repeat the batch
└── BrokenSealError          seal nothing more: a person compares the ledger with its published checkpoints
"""

from collections.abc import Mapping
from typing import Any


class SettlementError(Exception):
    """Base of everything below."""


class ApiError(SettlementError):
    """Answer the caller: status, code and message are the reply; `facts` are further members of it, for programs."""

    status = 500
    code = "internal_error"
    kind = "api_error"

    def __init__(
        self, message: str, *, code: str | None = None, param: str | None = None, facts: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.code
        self.param = param
        self.facts = dict(facts or {})

    def body(self) -> dict[str, dict[str, Any]]:
        """The reply's body, in the shape that all of Tollbook uses."""
        return {"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.code, **self.facts}}


class BadInputError(ApiError):
    """The request could not be read: correct it."""

    status = 400
    code = "invalid_request"
    kind = "invalid_request_error"


class UnauthorizedError(ApiError):
    """The token is missing or wrong: present the right one."""

    status = 401
    code = "unauthorized"
    kind = "authentication_error"


class PaymentRequiredError(ApiError):
    """Money or a limit does not reach: top up, or ask for less."""

    status = 402
    code = "insufficient_balance"
    kind = "insufficient_quota"


class ForbiddenError(ApiError):
    """The caller may not do this: another key may."""

    status = 403
    code = "forbidden"
    kind = "permission_error"


class NotFoundError(ApiError):
    """There is no such thing, or it is another account's."""

    status = 404
    code = "not_found"
    kind = "invalid_request_error"


class ConflictError(ApiError):
    """The same key came with another body: use a new key."""

    status = 409
    code = "idempotency_conflict"
    kind = "invalid_request_error"


class TooLargeError(ApiError):
    """The body is over its bound: send less at once."""

    status = 413
    code = "body_too_large"
    kind = "invalid_request_error"


class InvalidError(ApiError):
    """The request was read but means nothing sensible: correct it."""

    status = 422
    code = "invalid_request"
    kind = "invalid_request_error"


class UnavailableError(ApiError):
    """The ledger cannot answer now: ask again under the same id."""

    status = 503
    code = "ledger_unavailable"
    kind = "api_error"


class StalePriceBookError(SettlementError):
    """Another price book is in force by now: load it and plan the holds again."""


class PoisonError(SettlementError):
    """The record can never be used: write it to dead_letter and go on."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class LostLeaseError(SettlementError):
    """Another worker has the partition, or its offset moved: roll back and take leases again."""


class OffsetGapError(SettlementError):
    """Kafka's next record is not the one that the ledger expects: halt, a person compares topic and ledger."""


class RacedError(SettlementError):
    """A hold ended between reading and writing: roll back and repeat the batch."""


class BrokenSealError(SettlementError):
    """What is sealed is not there, or not what was published: seal nothing more, a person compares the two."""
