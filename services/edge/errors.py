"""What can go wrong at the edge, and what the client hears.

EdgeError
├── ApiError                     the client gets a reply in OpenAI's error shape
│   ├── InvalidRequestError      400
│   ├── InvalidApiKeyError       401
│   │   └── KeyExpiredError      401
│   ├── ForbiddenError           403
│   ├── NotFoundError            404
│   ├── MethodNotAllowedError    405
│   ├── BodyTimeoutError         408
│   ├── ConflictError            409
│   ├── BodyTooLargeError        413
│   ├── UnprocessableError       422
│   ├── RateLimitedError         429 with Retry-After
│   ├── PassedOnError            what settlement refused, with its own status
│   ├── UnavailableError         503 with Retry-After
│   └── OutcomeUnknownError      503 with the receipt's link: it may have been carried out
├── StoreUnavailableError        Postgres cannot answer: refuse with 503, the client tries again
├── PeerUnavailableError         router or settlement broke off: refuse with 503, it may have acted
│   └── PeerUnreachableError     the call was never sent
├── BrokerUnavailableError       Kafka has not acknowledged: hand the events to settlement's ingress
└── ClientGoneError              nobody waits for the reply: let go of everything, answer nothing
"""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

Headers = list[tuple[bytes, bytes]]
NO_RETRY = (b"x-should-retry", b"false")
"""Sent where only a decision changes the answer, since SDKs try some statuses again by themselves."""
RETRY = (b"x-should-retry", b"true")
"""Sent where only waiting changes the answer, and SDKs would not wait by themselves."""
LONG_WAIT_S = 60
"""A wait that is longer than this is no SDK's to sit out by itself."""
DECIDED_STATUSES = frozenset((402, 403, 409))


class EdgeError(Exception):
    """Root of everything that the edge raises on purpose."""


class ApiError(EdgeError):
    """Refuse the call: the client gets `status` and `{"error":{"message","type","param","code"}}`.

    `facts` are further members of the error object, for programs: the envelope that refused, what was needed and left.
    """

    status: int = 400
    type: str = "invalid_request_error"

    def __init__(self, code: str, message: str, *, param: str | None = None, facts: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.param = param
        self.facts = dict(facts or {})

    def headers(self) -> Headers:
        """Headers that the reply carries beside its content type."""
        return []

    def body(self) -> bytes:
        """The reply's body."""
        return error_body(self.message, self.type, self.param, self.code, self.facts)


class InvalidRequestError(ApiError):
    """The client sent something that cannot be used: it must change the request."""


class InvalidApiKeyError(ApiError):
    """No key, a mistyped, unknown or revoked one: the client must present another."""

    status = 401

    def __init__(self, message: str = "Incorrect API key provided. Ask whoever runs this Tollbook for a key.") -> None:
        super().__init__("invalid_api_key", message)

    def headers(self) -> Headers:
        return [(b"www-authenticate", b"Bearer")]


class KeyExpiredError(InvalidApiKeyError):
    """The key's time is over, or that of a secret which a rotation replaced: the client must present another."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.code = "key_expired"


class ForbiddenError(ApiError):
    """The key is good and may not do this: its owner or an operator must allow it."""

    status = 403
    type = "permission_error"

    def headers(self) -> Headers:
        return [NO_RETRY]


class NotFoundError(ApiError):
    """There is nothing under this name, or nothing that this key may see."""

    status = 404


class MethodNotAllowedError(ApiError):
    """The path exists and takes other methods."""

    status = 405

    def __init__(self, method: str, allowed: Sequence[str]) -> None:
        super().__init__("method_not_allowed", f"This takes {' or '.join(allowed)}, not {method[:20]}.")
        self.allowed = allowed

    def headers(self) -> Headers:
        return [(b"allow", ", ".join(self.allowed).encode())]


class BodyTimeoutError(ApiError):
    """The body did not arrive in time: the client must send it again."""

    status = 408

    def __init__(self, seconds: float) -> None:
        super().__init__("request_timeout", f"The body of the request did not arrive within {seconds:g} seconds.")


class ConflictError(ApiError):
    """What is asked for meets something that stands already, mostly an idempotency key that is bound to another request.

    Sending this one again changes nothing, unless after `retry_after_s`.
    """

    status = 409
    type = "idempotency_error"

    def __init__(
        self,
        code: str,
        message: str,
        *,
        param: str = "idempotency-key",
        receipt: str | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(code, message, param=param)
        self.receipt = receipt
        self.retry_after_s = retry_after_s

    def headers(self) -> Headers:
        link = [] if self.receipt is None else [(b"x-tollbook-receipt", self.receipt.encode())]
        if self.retry_after_s is None:
            return [NO_RETRY, *link]
        return [RETRY, (b"retry-after", str(self.retry_after_s).encode()), *link]


class BodyTooLargeError(ApiError):
    """The body exceeds the limit: the client must send less."""

    status = 413

    def __init__(self, limit_bytes: int) -> None:
        super().__init__("request_too_large", f"The body of the request is larger than {limit_bytes} bytes.")


class UnprocessableError(ApiError):
    """An admin call's body does not fit its model."""

    status = 422


class RateLimitedError(ApiError):
    """An envelope has used its minute: the client may try again after `retry_after_s`, by itself where that is not long."""

    status = 429
    type = "rate_limit_error"

    def __init__(self, message: str, *, retry_after_s: int, facts: Mapping[str, Any]) -> None:
        super().__init__("rate_limit_exceeded", f"{message} Try again in {retry_after_s} s.", facts=facts)
        self.retry_after_s = retry_after_s

    def headers(self) -> Headers:
        again = NO_RETRY if self.retry_after_s > LONG_WAIT_S else RETRY
        return [(b"retry-after", str(self.retry_after_s).encode()), again]


class PassedOnError(ApiError):
    """Settlement refused an account's own call: the client hears what settlement said, whatever it names included."""

    def __init__(self, status: int, error: Mapping[str, Any]) -> None:
        facts = {name: value for name, value in error.items() if name not in ("message", "type", "param", "code")}
        super().__init__(str(error["code"]), str(error["message"]), param=error.get("param"), facts=facts)
        self.status = status
        self.type = str(error.get("type") or self.type)

    def headers(self) -> Headers:
        return [NO_RETRY] if self.status in DECIDED_STATUSES else []


class UnavailableError(ApiError):
    """Something that the edge needs is away: the client may try again after `retry_after_s`."""

    status = 503
    type = "server_error"

    def __init__(self, code: str, message: str, *, retry_after_s: int = 1) -> None:
        super().__init__(code, message)
        self.retry_after_s = retry_after_s

    def headers(self) -> Headers:
        return [(b"retry-after", str(self.retry_after_s).encode())]


class OutcomeUnknownError(ApiError):
    """The request went to router and no reply came: it may have been carried out, and its receipt will say.

    `bound`: its idempotency key would refuse it. Without one the client may try again, and may pay for both.
    """

    status = 503
    type = "server_error"

    def __init__(self, receipt: str, *, bound: bool) -> None:
        lost = "The connection to router was lost after the request had been sent: it may have been carried out and charged."
        said = f"Its receipt at {receipt} will say so once it is settled; where none comes, nothing was charged."
        super().__init__("outcome_unknown", f"{lost} {said}")
        self.receipt = receipt
        self.bound = bound

    def headers(self) -> Headers:
        again = NO_RETRY if self.bound else (b"retry-after", b"1")
        return [again, (b"x-tollbook-receipt", self.receipt.encode())]


class StoreUnavailableError(EdgeError):
    """Postgres cannot answer: refuse with 503, the client tries again."""


class PeerUnavailableError(EdgeError):
    """Router or settlement broke off or answered nonsense: refuse with 503. It may have acted on the call."""


class PeerUnreachableError(PeerUnavailableError):
    """No connection to router or settlement: refuse with 503. The call was never sent."""


class BrokerUnavailableError(EdgeError):
    """Kafka has not acknowledged: hand the events to settlement's ingress."""


class ClientGoneError(EdgeError):
    """The client has closed its connection: let go of everything, answer nothing."""


def error_body(message: str, type_: str, param: str | None, code: str, facts: Mapping[str, Any] | None = None) -> bytes:
    """The JSON of an error in OpenAI's shape, `facts` beside its four members."""
    return orjson.dumps({"error": {"message": message, "type": type_, "param": param, "code": code, **(facts or {})}})
