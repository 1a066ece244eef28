"""Create calls under the caller's idempotency key: the same call again gives the first reply, another body is refused."""

import hashlib
import secrets
from collections.abc import Awaitable, Callable, Sequence

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.edge.access_guard import Actor
from services.edge.database import Connection, Database, rows_of
from services.edge.errors import ConflictError, StoreUnavailableError
from services.edge.stored_replies import NONCE_BYTES, opened

Create = Callable[[Connection], Awaitable[bytes]]


class AdminReplies:
    """Keeps replies for a day, encrypted: the reply of a new key holds its secret."""

    def __init__(self, database: Database, secrets_keys: Sequence[bytes]) -> None:
        self._database = database
        self._ciphers = [AESGCM(key) for key in secrets_keys]

    async def once(self, path: str, by: Actor, idempotency_key: str | None, body: bytes, create: Create) -> bytes:
        """The reply of `create`, which runs in one transaction with the record of it. Raises :class:`ConflictError`.

        A user's idempotency keys are the user's own: nobody is shown the reply of another, which may hold a secret.
        """
        operation = path if by.principal.root else f"{path} of {by.principal.user_id}"
        async with self._database.transaction() as connection:
            if idempotency_key is None:
                return await create(connection)
            name = {"operation": operation, "idempotency_key": idempotency_key}
            label = f"{operation} {idempotency_key}".encode()
            request_hash = hashlib.sha256(body).digest()
            await rows_of(connection, "lock_admin_reply", name)
            found = await rows_of(connection, "find_admin_reply", name)
            if found:
                return self._stored(bytes(found[0]["request_hash"]), request_hash, bytes(found[0]["reply"]), label)
            reply = await create(connection)
            values = name | {"request_hash": request_hash, "reply": self._seal(reply, label)}
            await rows_of(connection, "insert_admin_reply", values)
            return reply

    def _stored(self, stored_hash: bytes, request_hash: bytes, sealed: bytes, label: bytes) -> bytes:
        if stored_hash != request_hash:
            raise ConflictError("idempotency_conflict", "This idempotency key was used with another body.")
        reply = opened(self._ciphers, sealed, label)
        if reply is None:
            raise StoreUnavailableError(
                "a stored reply cannot be read: give the key that TOLLBOOK_SECRETS_KEY replaced in TOLLBOOK_FORMER_SECRETS_KEYS"
            )
        return reply

    def _seal(self, reply: bytes, label: bytes) -> bytes:
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._ciphers[0].encrypt(nonce, reply, label)
