"""The reply of a request under an idempotency key, kept for the client that asks again: encrypted, bounded, for a day."""

import secrets
from collections.abc import Iterable, Sequence
from contextlib import suppress
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
    """Seals replies under the edge's secrets key, each bound to its API key, idempotency key and request.

    `secrets_keys`: the current one, then those that it replaced, under which replies still open.
    """

    def __init__(self, secrets_keys: Sequence[bytes]) -> None:
        self._ciphers = [AESGCM(key) for key in secrets_keys]

    def seal(self, reply: StoredReply, *, key_id: str, idempotency_key: str, request_id: UUID) -> bytes:
        """The sealed reply."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._ciphers[0].encrypt(nonce, reply.packed(), _bound_to(key_id, idempotency_key, request_id))

    def open(self, sealed: bytes, *, key_id: str, idempotency_key: str, request_id: UUID) -> StoredReply | None:
        """The reply, None where the secrets key is another by now: the receipt is still there."""
        packed = opened(self._ciphers, sealed, _bound_to(key_id, idempotency_key, request_id))
        return None if packed is None else StoredReply.unpacked(packed)


def opened(ciphers: Iterable[AESGCM], sealed: bytes, label: bytes) -> bytes | None:
    """What was sealed (nonce first) under one of the keys, None where it was under none of them."""
    for cipher in ciphers:
        with suppress(InvalidTag):
            return cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], label)
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
