"""The reply of a request under an idempotency key, kept for the client that asks again: encrypted, bounded, for a day."""

import secrets
from dataclasses import dataclass
from uuid import UUID

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MAX_BYTES = 1024 * 1024
"""A longer reply is not kept: who asks again is told where its receipt is."""
NONCE_BYTES = 12
REPLAYED = (b"x-tollbook-replayed", b"true")
Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class StoredReply:
    """A plain reply as the client got it. `headers` are those of the first reply, without its length."""

    status: int
    headers: Headers
    body: bytes

    def packed(self) -> bytes:
        """The reply as bytes: a line of JSON, then the body."""
        names = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in self.headers]
        return orjson.dumps({"status": self.status, "headers": names}) + b"\n" + self.body

    @classmethod
    def unpacked(cls, packed: bytes) -> "StoredReply":
        """The reply that was packed."""
        head, _, body = packed.partition(b"\n")
        parsed = orjson.loads(head)
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in parsed["headers"]]
        return cls(parsed["status"], headers, body)


class ReplySafe:
    """Seals replies under the edge's secrets key, each bound to its API key, idempotency key and request."""

    def __init__(self, secrets_key: bytes) -> None:
        self._cipher = AESGCM(secrets_key)

    def seal(self, reply: StoredReply, *, key_id: str, idempotency_key: str, request_id: UUID) -> bytes:
        """The sealed reply."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, reply.packed(), _bound_to(key_id, idempotency_key, request_id))

    def open(self, sealed: bytes, *, key_id: str, idempotency_key: str, request_id: UUID) -> StoredReply | None:
        """The reply, None where the secrets key is another by now: the receipt is still there."""
        try:
            label = _bound_to(key_id, idempotency_key, request_id)
            return StoredReply.unpacked(self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], label))
        except InvalidTag:
            return None


class ReplyCopy:
    """Takes a copy of a reply while it is passed on, as long as it stays within its bound."""

    def __init__(self, *, wanted: bool) -> None:
        self._chunks: list[bytes] | None = [] if wanted else None
        self._size = 0

    def add(self, chunk: bytes) -> None:
        """The next bytes that the client gets."""
        if self._chunks is None:
            return
        self._size += len(chunk)
        if self._size > MAX_BYTES:
            self._chunks = None
        else:
            self._chunks.append(chunk)

    def reply(self, status: int, headers: Headers) -> StoredReply | None:
        """The whole reply, None where it was not wanted or too long."""
        if self._chunks is None:
            return None
        return StoredReply(status, headers, b"".join(self._chunks))


def _bound_to(key_id: str, idempotency_key: str, request_id: UUID) -> bytes:
    return f"{key_id} {request_id} {idempotency_key}".encode()
