"""What router raises. Each says what to do with it.

RouterError
 ├── RefusalError              answer it in OpenAI's error shape; nothing was called upstream
 ├── TableRejectedError        answer the operator with 422; the table in force stays
 ├── TableMovedError           answer the operator with 409; another table came into force meanwhile
 ├── EntityMissingError        answer the operator with 404
 ├── AdminError                answer an admin call as it says
 ├── UpstreamError             one attempt is over: retry, move on, or pass the reply to the client, as `verdict` says
 ├── LedgerUnavailableError    ask again under the same ids until the bound, then refuse with 503
 │    ├── LedgerRefusedCallError   send the items of the batch one by one
 │    └── IngressFullError         refuse with 503 at once
 ├── LogUnavailableError       neither Kafka nor the ingress took the event: end the reply with an error, leave the hold open
 ├── SettledTwiceError         the request has its record already: answer with an error, write nothing
 ├── StreamMalformedError      the upstream's stream is no stream of events: end the attempt as malformed
 ├── StorageUnavailableError   object storage did not answer: try again, and begin nothing new meanwhile
 ├── KeysUnavailableError      edge did not say what a key may do: try again, and begin no line meanwhile
 ├── LineWaitsError            a line cannot be begun now: put it back, begin it later
 ├── BatchStopsError           no more lines of this batch may be begun: end it, and say why
 ├── LeaseLostError            another worker has the batch: let go of it, write nothing more
 └── SecretUnreadableError     the sealed secret does not open with this key: halt the reload, keep the table in force
      └── SecretUnsendableError    it opens, but no request can be sent with it: leave its channel out of service
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from schemas.attempts import AfterDisconnect, ErrorClass
from schemas.money import Usage

Verdict = Literal["retry", "next", "pass"]
"""retry: the same channel may answer a second time. next: another channel may. pass: the request itself is at fault."""


class RouterError(Exception):
    """Base of everything that router raises on purpose."""


class RefusalError(RouterError):
    """The request is refused before any upstream call: answer `status` in OpenAI's shape with `x-tollbook-rejected: <code>`.

    `retry_after_s` is set where waiting helps. `facts` are further members of the error object, for programs: the envelope
    that refused, what was needed and left.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        param: str | None = None,
        retry_after_s: int | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.param = param
        self.retry_after_s = retry_after_s
        self.facts = dict(facts or {})


class TableRejectedError(RouterError):
    """The route table is not valid: tell the operator where and why, and change nothing."""


class TableMovedError(RouterError):
    """Another version came into force since the operator looked: show the difference anew, and change nothing."""


class EntityMissingError(RouterError):
    """The table in force has no such channel or model: answer 404, and change nothing."""


class AdminError(RouterError):
    """An admin call is not answered with what it asked for: `status`, in the one shape of errors."""

    def __init__(self, status: int, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.param = param


class LedgerUnavailableError(RouterError):
    """Settlement did not answer: ask again under the same ids; after the bound refuse with 503 `ledger_unavailable`."""


class LedgerRefusedCallError(LedgerUnavailableError):
    """Settlement refused the call itself (4xx): asking again is no use; one item of a batch may be at fault for all."""


class IngressFullError(LedgerUnavailableError):
    """Settlement takes no new holds while the log is behind: refuse at once with 503 `log_unavailable`."""


class LogUnavailableError(RouterError):
    """The event is neither in Kafka nor in the ingress: end the reply with an error; the open hold becomes a case."""


class SettledTwiceError(RouterError):
    """A second record of one request was about to be written: answer with an error, and leave the first as it is."""


class StreamMalformedError(RouterError):
    """The bytes are not server-sent events of the dialect: the attempt has failed as `malformed_reply`."""


class StorageUnavailableError(RouterError):
    """Object storage did not answer: try again, and begin nothing new meanwhile."""


class KeysUnavailableError(RouterError):
    """Edge did not say what a key may do: try again, and begin no line meanwhile."""


class LineWaitsError(RouterError):
    """A line cannot be begun now, and nothing has been asked upstream: begin it later."""


class BatchStopsError(RouterError):
    """No more lines of the batch may be begun, as `code` and `message` say."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class LeaseLostError(RouterError):
    """Another worker has the batch: let go of it, write nothing more."""


class SecretUnreadableError(RouterError):
    """A sealed secret does not open: the secrets key or the channel's origin is not the one that it was sealed for."""


class SecretUnsendableError(SecretUnreadableError):
    """The secret opens, but holds what no header may: leave its channel out of service and say so, never with the secret."""


class UpstreamError(RouterError):
    """One upstream attempt failed.

    `status` is the upstream's HTTP status, None where there was none. `body` is the error body for the client: the upstream's,
    only kept when the verdict is "pass", or the refusal of what a dialect cannot say (`not_translatable`: nothing is sent
    then). `usage` is what the failed attempt burned, None where the upstream did not say. `upstream_id` is the provider's id
    of its reply, None where none came. `sent` tells that the provider may have done work that it bills, though no usage came.
    `after_disconnect` tells that the call was ended because its client had left.
    """

    def __init__(
        self,
        error_class: ErrorClass,
        verdict: Verdict,
        *,
        status: int | None = None,
        retry_after_s: float | None = None,
        usage: Usage | None = None,
        body: bytes = b"",
        upstream_id: str | None = None,
        sent: bool = False,
        after_disconnect: AfterDisconnect | None = None,
    ) -> None:
        super().__init__(error_class)
        self.error_class: ErrorClass = error_class
        self.verdict: Verdict = verdict
        self.status = status
        self.retry_after_s = retry_after_s
        self.usage = usage
        self.body = body
        self.upstream_id = upstream_id
        self.sent = sent or status == 200
        self.after_disconnect = after_disconnect
