"""What an idempotency key is bound to: one accepted request of its API key, for a day."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import structlog

from services.edge import metrics
from services.edge.database import Database
from services.edge.errors import ConflictError, StoreUnavailableError, UnavailableError
from services.edge.stored_replies import ReplySafe, StoredReply

log = structlog.get_logger(__name__)

KEEP_S = 24 * 3600
MAX_TRIES = 3
ALREADY_DONE = "already_done"
IN_PROGRESS_RETRY_S = 2
"""When a client whose first try is still under way may ask again: SDKs try twice."""


@dataclass(frozen=True, slots=True)
class Claim:
    """An idempotency key that is bound to a request under way."""

    key_id: str
    idempotency_key: str
    request_id: UUID
    client_api: str = "chat.completions"
    run_id: str | None = None

    def parameters(self) -> dict[str, Any]:
        """The claim as a statement's parameters."""
        return {"key_id": self.key_id, "idempotency_key": self.idempotency_key, "request_id": self.request_id}


def conflict(found: Mapping[str, Any], request_hash: bytes, *, longest_request_s: float) -> ConflictError:
    """Why a key that is already bound refuses a request.

    A claim in flight for longer than any request lives was left by an edge that died: its receipt tells whether it was charged.
    """
    receipt = f"/v1/requests/{found['request_id']}"
    if bytes(found["request_hash"]) != request_hash:
        return ConflictError("idempotency_conflict", "This idempotency key was used with another body, API or run.")
    if found["state"] == "in_flight" and found["age_s"] < longest_request_s:
        message = "A request under this idempotency key is still in progress. Ask again with the same key for its reply."
        return ConflictError("in_progress", message, receipt=receipt, retry_after_s=IN_PROGRESS_RETRY_S)
    return ConflictError(ALREADY_DONE, f"This request was made before; its receipt is at {receipt}.", receipt=receipt)


def not_settled(receipt: str) -> ConflictError:
    """Why the key of a request refuses it whose end is not known yet: it may not have been carried out at all."""
    said = f"its receipt at {receipt} will say whether it was carried out, and what it cost."
    return ConflictError(ALREADY_DONE, f"This request was accepted before and is not settled yet: {said}", receipt=receipt)


def _digest(claim: Claim, body: bytes) -> bytes:
    """What makes a request the same: the API, the run that it is paid from, and the body."""
    named = f"{claim.client_api}\n{claim.run_id or ''}\n".encode()
    return hashlib.sha256(named + body).digest()


class Claims:
    """Binds and frees idempotency keys in Postgres."""

    def __init__(self, database: Database, safe: ReplySafe, *, longest_request_s: float) -> None:
        self._database = database
        self._safe = safe
        self._longest_request_s = longest_request_s

    async def bind(self, claim: Claim, body: bytes, *, replays: bool = True) -> StoredReply | None:
        """Bind the key to this request, or give the stored reply of the same request, which was done before.

        Without `replays` (a policy keeps no replies) one that was stored under another policy is not given either.
        Raises :class:`ConflictError` where it is bound to another, or to one that is under way or whose reply is not given.
        """
        parameters = claim.parameters() | {"request_hash": _digest(claim, body), "keep_s": KEEP_S}
        for _ in range(MAX_TRIES):
            if await self._database.row("claim", parameters) is not None:
                metrics.IDEMPOTENCY.labels("bound").inc()
                return None
            found = await self._database.row("find_claim", parameters)
            if found is not None:
                stored = self._stored(claim, found, parameters["request_hash"]) if replays else None
                if stored is not None:
                    metrics.IDEMPOTENCY.labels("replayed").inc()
                    return stored
                error = conflict(found, parameters["request_hash"], longest_request_s=self._longest_request_s)
                metrics.IDEMPOTENCY.labels(error.code).inc()
                raise error
        raise UnavailableError("claim_contended", "This idempotency key is being freed at this moment. Try again.")

    def _stored(self, claim: Claim, found: Mapping[str, Any], request_hash: bytes) -> StoredReply | None:
        if found["reply"] is None or bytes(found["request_hash"]) != request_hash:
            return None
        names = {"key_id": claim.key_id, "idempotency_key": claim.idempotency_key}
        return self._safe.open(bytes(found["reply"]), request_id=found["request_id"], **names)

    def binding(self, claim: Claim | None) -> "Binding":
        """What a call holds of its claim, if it has one."""
        return Binding(self, claim)

    async def settle(self, claim: Claim, *, accepted: bool, reply: StoredReply | None) -> None:
        """Keep the binding of an accepted request, with its reply where there is one; free the key of a refused one."""
        parameters = claim.parameters()
        sealed = None if reply is None else self._safe.seal(reply, **parameters)
        try:
            if accepted:
                await self._database.rows("finish_claim", parameters | {"reply": sealed})
            else:
                await self._database.rows("release_claim", parameters)
        except StoreUnavailableError as error:
            # Left in flight, the claim refuses a second try and names the receipt: the safe side.
            log.warning("an idempotency key stays in flight", request_id=str(claim.request_id), error=str(error))


class Binding:
    """A call's hold on its idempotency key: settled once, before the client hears the end of the reply."""

    def __init__(self, claims: Claims, claim: Claim | None) -> None:
        self._claims = claims
        self._claim = claim

    @property
    def open(self) -> bool:
        """Whether there is something left to settle."""
        return self._claim is not None

    async def settle(self, *, accepted: bool, reply: StoredReply | None = None) -> None:
        """Keep the binding of an accepted request, free the key of a refused one; a second time does nothing."""
        claim, self._claim = self._claim, None
        if claim is not None:
            await self._claims.settle(claim, accepted=accepted, reply=reply)
